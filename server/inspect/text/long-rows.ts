import type { Attributes, LinkTarget, RestoreError } from '../../../core/index.ts';
import { showName, showText, type TreeEntry } from '../../../vfs/index.ts';
import type { TimeKind } from '../messages.ts';
import { formatMode, kindLetter } from './mode.ts';
import { formatTime } from './time.ts';

/** What a link leads to, by entry; why that cannot be read, where it cannot. */
export type Targets = ReadonlyMap<TreeEntry, LinkTarget | RestoreError>;

interface Row {
  readonly mode: string;
  readonly links: string;
  readonly owner: string;
  readonly size: string;
  readonly time: string;
  readonly name: string;
}

/** How wide columns are; kept for the parts of one list, it only grows. */
export interface Widths {
  links: number;
  owner: number;
  size: number;
  readonly time: number;
}

export function leastWidths(): Widths {
  return { links: 1, owner: 1, size: 1, time: 20 };
}

/** Lines as of `ls -l`: mode or attributes, links, owner, size, time, name, and what is wrong. */
export function longRows(
  entries: readonly TreeEntry[],
  targets: Targets,
  time: TimeKind,
  nameOf: (entry: TreeEntry) => string = ({ name }) => showName(name),
  width: Widths = leastWidths(),
): string {
  const rows = entries.map((entry) => {
    const row = rowOf(entry, targets.get(entry), time, nameOf(entry));
    width.links = Math.max(width.links, row.links.length);
    width.owner = Math.max(width.owner, row.owner.length);
    width.size = Math.max(width.size, row.size.length);
    return row;
  });
  let text = '';
  for (const { mode, links, owner, size, time: at, name } of rows) {
    text += `${mode} ${links.padStart(width.links)} ${owner.padEnd(width.owner)} ${size.padStart(width.size)} ${at.padEnd(width.time)} ${name}\n`;
  }
  return text;
}

function rowOf(
  entry: TreeEntry,
  target: LinkTarget | RestoreError | undefined,
  time: TimeKind,
  shownName: string,
): Row {
  const { attributes, error } = entry;
  const name = shownName + arrow(target);
  if (attributes === undefined) {
    const why = error === undefined ? '' : `  [${showText(error.message)}]`;
    const mode = `${kindLetter(entry.kind)}?????????`;
    return { mode, links: '?', owner: '?', size: '?', time: '?', name: `${name}${why}` };
  }
  const { links, unreadable } = attributes;
  const at = attributes[time];
  return {
    mode: formatMode(attributes),
    links: String(links),
    owner: ownerOf(attributes),
    size: sizeOf(attributes),
    time: at === undefined ? '-' : formatTime(at),
    name: unreadable === undefined ? name : `${name}  [not readable: ${showText(unreadable)}]`,
  };
}

function arrow(target: LinkTarget | RestoreError | undefined): string {
  if (target === undefined) return '';
  if (target instanceof Error) return `  [${showText(target.message)}]`;
  return ` -> ${showName(target.target)}`;
}

function ownerOf({ uid, gid }: Attributes): string {
  return uid === undefined ? '-' : `${uid}:${gid ?? 0}`;
}

/** Of a device, its numbers. */
function sizeOf({ size, device }: Attributes): string {
  return device === undefined ? String(size) : `${device.major},${device.minor}`;
}

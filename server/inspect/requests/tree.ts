import { type Place, showName, type TreeEntry, type WalkStep, walk } from '../../../vfs/index.ts';
import type { TreeRequest } from '../messages.ts';
import type { Output } from '../output.ts';
import type { InspectContext } from '../session.ts';
import { addressJson } from '../text/address-json.ts';
import { LINES } from '../text/branches.ts';
import { entryJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { eachAddress } from './each-address.ts';
import { linkTargets } from './link-targets.ts';

/** `tree`: directories and what is in them, drawn. */
export async function tree(context: InspectContext, request: TreeRequest): Promise<void> {
  const { output, remarks } = context;
  const json = request.json ? new JsonList(output, 'directories') : undefined;
  const counts = { directories: 0, others: 0 };
  await eachAddress(context, request.addresses, true, async (address) => {
    const depth = request.depthMax === undefined ? {} : { depthMax: request.depthMax - 1 };
    const drawing = new Drawing(output);
    if (json === undefined) output.write(`${address.name}:${showName(address.place.path)}\n`);
    const options = { attributes: true, sorted: true, ...depth };
    for await (const step of walk(address.tree, address.place, options)) {
      const { directory, entries, error, isEntered } = step;
      if (error !== undefined) remarks.fail(error, showName(directory.path));
      if (!isEntered) continue;
      count(entries, counts);
      for (const entry of entries) {
        if (entry.error !== undefined) remarks.fail(entry.error, showName(entry.name));
      }
      const targets = await linkTargets(directory.volume, entries, remarks);
      if (json === undefined) {
        drawing.add(step, (entry) => label(entry, targets.get(entry)));
      } else {
        json.add({
          ...addressJson(address, directory),
          depth: step.depth,
          entries: entries.map((entry) => entryJson(entry, targets.get(entry))),
        });
      }
    }
    drawing.end();
  });
  json?.end();
  if (json === undefined) {
    output.write(`\n${counts.directories} directories, ${counts.others} files\n`);
  }
}

/** One directory on the way from the start to what is drawn now. */
interface Level {
  readonly entries: readonly TreeEntry[];
  readonly labelOf: (entry: TreeEntry) => string;
  /** What stands in front of its entries. */
  readonly prefix: string;
  next: number;
}

/** Draws directories as the walk gives them: each entry when what is in it is known. */
class Drawing {
  readonly #output: Output;
  readonly #levels: Level[] = [];

  constructor(output: Output) {
    this.#output = output;
  }

  add({ directory, depth, entries }: WalkStep, labelOf: (entry: TreeEntry) => string): void {
    while (this.#levels.length > depth) this.#finish();
    const parent = this.#levels.at(-1);
    if (parent !== undefined) this.#drawTo(parent, directory);
    const isLast = parent === undefined || parent.next >= parent.entries.length;
    const prefix =
      parent === undefined ? '' : parent.prefix + (isLast ? LINES.nothing : LINES.passing);
    this.#levels.push({ entries, labelOf, prefix, next: 0 });
  }

  end(): void {
    while (this.#levels.length > 0) this.#finish();
  }

  #finish(): void {
    const level = this.#levels.pop();
    if (level !== undefined) this.#draw(level, level.entries.length);
  }

  /** Up to and with the entry that is `directory`. */
  #drawTo(level: Level, { path }: Place): void {
    const name = path.slice(path.lastIndexOf('/') + 1);
    let index = level.next;
    while (index < level.entries.length && level.entries[index]?.name !== name) index += 1;
    this.#draw(level, Math.min(level.entries.length, index + 1));
  }

  #draw(level: Level, end: number): void {
    for (; level.next < end; level.next += 1) {
      const entry = level.entries[level.next] as TreeEntry;
      const branch = level.next === level.entries.length - 1 ? LINES.last : LINES.branch;
      this.#output.write(`${level.prefix}${branch}${level.labelOf(entry)}\n`);
    }
  }
}

function label(entry: TreeEntry, target: unknown): string {
  const name = showName(entry.name);
  if (target instanceof Error) return `${name} -> ?`;
  const leadsTo = (target as { readonly target: string } | undefined)?.target;
  if (leadsTo !== undefined) return `${name} -> ${showName(leadsTo)}`;
  return entry.error === undefined ? name : `${name}  [${entry.error.code}]`;
}

function count(
  entries: readonly TreeEntry[],
  counts: { directories: number; others: number },
): void {
  for (const { attributes, kind } of entries) {
    if ((attributes?.kind ?? kind) === 'directory') counts.directories += 1;
    else counts.others += 1;
  }
}

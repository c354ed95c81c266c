import type { Attributes } from '../../core/index.ts';
import { type FileChange, isSameFile } from './model.ts';

/**
 * Makes one change of a file that went from one path to another, and drops what went with its
 * directory. For file systems whose numbers stay a file's own. Contents are not compared again: a file
 * that was renamed and has another size or time is told to have another content.
 */
export function pairRenamed(changes: readonly FileChange[]): FileChange[] {
  const added = new Map<number, FileChange[]>();
  // The last one first: it is taken from the end.
  for (const change of changes.toReversed()) {
    if (change.change !== 'added' || change.after === undefined) continue;
    const { fileNumber } = change.after;
    const alike = added.get(fileNumber);
    if (alike === undefined) added.set(fileNumber, [change]);
    else alike.push(change);
  }
  const used = new Set<FileChange>();
  const renamed: FileChange[] = [];
  for (const change of changes) {
    const { before } = change;
    if (change.change !== 'removed' || before === undefined) continue;
    const alike = added.get(before.fileNumber);
    const match = alike?.at(-1);
    // One number at one time is one file: if this one is another, so are all.
    if (match?.after === undefined || !isSameFile(before, match.after)) continue;
    alike?.pop();
    used.add(change).add(match);
    const aspects = aspectsByAttributes(before, match.after);
    renamed.push({
      ...{ change: 'renamed', path: match.path, from: change.path, aspects },
      ...{ before, after: match.after },
    });
  }
  const rest = changes.filter((change) => !used.has(change));
  const directories = new Map<string, string[]>();
  for (const { before, from, path } of renamed) {
    if (before?.kind !== 'directory' || from === undefined) continue;
    directories.set(from, [...(directories.get(from) ?? []), path]);
  }
  return [...rest, ...renamed.filter((change) => !wentAlong(change, directories))];
}

function aspectsByAttributes(before: Attributes, after: Attributes): FileChange['aspects'] {
  if (before.kind === 'directory') return before.mode === after.mode ? [] : ['mode'];
  const isOther =
    before.size !== after.size ||
    before.modified.seconds !== after.modified.seconds ||
    before.modified.nanoseconds !== after.modified.nanoseconds;
  return [
    ...(isOther ? (['content', 'modified'] as const) : []),
    ...(before.mode === after.mode ? [] : (['mode'] as const)),
  ];
}

/**
 * True for what is as it was, in a directory that was renamed itself. Asks for each directory above it,
 * not for each that was renamed: those may be as many as the files.
 *
 * @param directories what renamed directories are called now, by what they were called.
 */
function wentAlong(
  { path, from = '', aspects }: FileChange,
  directories: ReadonlyMap<string, readonly string[]>,
): boolean {
  if (aspects.length > 0) return false;
  for (let at = from.lastIndexOf('/'); at > 0; at = from.lastIndexOf('/', at - 1)) {
    const now = directories.get(from.slice(0, at)) ?? [];
    if (now.some((directory) => path === `${directory}${from.slice(at)}`)) return true;
  }
  return false;
}

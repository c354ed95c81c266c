import type { Attributes } from '../../core/index.ts';
import { type FileChange, isSameFile } from './model.ts';

/**
 * Makes one change of a file that went from one path to another, and drops what went with its
 * directory. For file systems whose numbers stay a file's own. Contents are not compared again: a file
 * that was renamed and has another size or time is told to have another content.
 */
export function pairRenamed(changes: readonly FileChange[]): FileChange[] {
  const added = new Map<number, FileChange[]>();
  for (const change of changes) {
    if (change.change !== 'added' || change.after === undefined) continue;
    const { fileNumber } = change.after;
    added.set(fileNumber, [...(added.get(fileNumber) ?? []), change]);
  }
  const used = new Set<FileChange>();
  const renamed: FileChange[] = [];
  for (const change of changes) {
    const { before } = change;
    if (change.change !== 'removed' || before === undefined) continue;
    const match = added
      .get(before.fileNumber)
      ?.find((one) => !used.has(one) && one.after !== undefined && isSameFile(before, one.after));
    if (match?.after === undefined) continue;
    used.add(change).add(match);
    const aspects = aspectsByAttributes(before, match.after);
    renamed.push({
      ...{ change: 'renamed', path: match.path, from: change.path, aspects },
      ...{ before, after: match.after },
    });
  }
  const rest = changes.filter((change) => !used.has(change));
  return [...rest, ...renamed.filter((change) => !wentAlong(change, renamed))];
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

/** True for what is as it was, in a directory that was renamed itself. */
function wentAlong({ path, from = '', aspects }: FileChange, all: readonly FileChange[]): boolean {
  if (aspects.length > 0) return false;
  return all.some(
    (one) =>
      one.before?.kind === 'directory' &&
      one.from !== undefined &&
      from.startsWith(`${one.from}/`) &&
      path === `${one.path}${from.slice(one.from.length)}`,
  );
}

import { RestoreError } from '../../../core/index.ts';
import {
  compareMachines,
  type MachineChange,
  type MachineDifference,
  nameForJson,
  showName,
} from '../../../vfs/index.ts';
import type { DiffRequest } from '../messages.ts';
import type { InspectContext, OpenPoint } from '../session.ts';
import { attributesJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { formatSize } from '../text/size.ts';

/** `diff`: files that were added, removed, changed and renamed between two points. */
export async function diff(context: InspectContext, request: DiffRequest): Promise<void> {
  const { session, output, remarks } = context;
  const before = await session.point(request.before);
  const after = await session.point(request.after);
  if (before.point.machine !== after.point.machine) throw twoMachines(request);
  const difference = await compareMachines({
    before: before.machine,
    after: after.machine,
    address: addressOf(before, after, request),
    changed: await session.changedVolumes(before, after),
    onProblem: (error, path) => remarks.fail(error, showName(path)),
    onRemark: (message) => remarks.warn(message),
  });
  if (request.json) writeJson(context, before, after, difference, request.summary);
  else if (request.summary) output.write(summaryText(difference));
  else for (const change of difference.changes) output.write(lineOf(change));
}

/** Their volumes are not each other's: what is only in one might be taken for the same. */
function twoMachines({ before, after }: DiffRequest): RestoreError {
  return new RestoreError('INVALID', 'the addresses name two machines', {
    where: { expected: before, found: after },
    hint: 'Compare two points of one machine.',
  });
}

/** Where to compare: both addresses must mean the same part of the machine. */
function addressOf(
  { address: one }: OpenPoint,
  { address: other }: OpenPoint,
  { path, before, after }: DiffRequest,
): { disk?: string; volume?: string; path?: string } {
  const disk = other.disk ?? one.disk;
  const volume = other.volume ?? one.volume;
  const paths = [path, other.path, one.path].filter((each) => each !== undefined);
  const isOne = (a: string | undefined, b: string | undefined): boolean =>
    a === undefined || b === undefined || a === b;
  if (!isOne(one.disk, other.disk) || !isOne(one.volume, other.volume) || new Set(paths).size > 1) {
    throw new RestoreError('INVALID', 'the addresses name two parts of the machine', {
      where: { expected: before, found: after },
      hint: 'Name the volume and the path once, or the same in both.',
    });
  }
  return {
    ...(disk === undefined ? {} : { disk }),
    ...(volume === undefined ? {} : { volume }),
    ...(paths[0] === undefined ? {} : { path: paths[0] }),
  };
}

/** `changed  /etc/passwd  (content, size 1.2 KiB -> 1.3 KiB, modified)`. */
function lineOf(change: MachineChange): string {
  const { path, from } = change;
  const name = from === undefined ? showName(path) : `${showName(from)} -> ${showName(path)}`;
  const notes = notesOf(change);
  return `${change.change.padEnd(7)}  ${name}${notes.length === 0 ? '' : `  (${notes.join(', ')})`}\n`;
}

function notesOf({ change, aspects, before, after, isLink, isReplaced }: MachineChange): string[] {
  const notes: string[] = aspects.map((aspect) =>
    aspect === 'size' && before !== undefined && after !== undefined
      ? `size ${formatSize(before.size)} -> ${formatSize(after.size)}`
      : aspect,
  );
  if (isReplaced === true) {
    notes.unshift(change === 'renamed' ? 'over another file' : 'another file of this name');
  }
  if (isLink === true) notes.push('a name of a file that has others');
  const kind = (after ?? before)?.kind;
  if (change !== 'changed' && kind !== undefined && kind !== 'file') notes.unshift(kind);
  return notes;
}

function countsOf({ changes }: MachineDifference): Record<MachineChange['change'], number> {
  const counts = { added: 0, removed: 0, changed: 0, renamed: 0 };
  for (const { change } of changes) counts[change] += 1;
  return counts;
}

function summaryText(difference: MachineDifference): string {
  const { added, removed, changed, renamed } = countsOf(difference);
  const lines = difference.volumes.map(
    ({ volume, at, method }) => `  ${showName(volume)} at ${showName(at)}: by ${method}\n`,
  );
  return `${added} added, ${removed} removed, ${changed} changed, ${renamed} renamed\n${lines.join('')}`;
}

function writeJson(
  { output }: InspectContext,
  before: OpenPoint,
  after: OpenPoint,
  difference: MachineDifference,
  isSummary: boolean,
): void {
  const list = new JsonList(output, 'changes');
  if (!isSummary) for (const change of difference.changes) list.add(changeJson(change));
  const { volumes } = difference;
  list.end({
    summary: countsOf(difference),
    volumes,
    before: { point: before.name, id: before.point.id },
    after: { point: after.name, id: after.point.id },
  });
}

function changeJson(change: MachineChange): Record<string, unknown> {
  const { path, from, aspects, before, after, volume, isLink, isReplaced } = change;
  const { name, nameBytes } = nameForJson(path);
  const origin = from === undefined ? undefined : nameForJson(from);
  return {
    change: change.change,
    path: name,
    ...(nameBytes === undefined ? {} : { pathBytes: nameBytes }),
    ...(origin === undefined ? {} : { from: origin.name }),
    ...(origin?.nameBytes === undefined ? {} : { fromBytes: origin.nameBytes }),
    aspects,
    ...(isReplaced === undefined ? {} : { isReplaced }),
    ...(isLink === undefined ? {} : { isLink }),
    volume,
    ...(before === undefined ? {} : { before: attributesJson(before) }),
    ...(after === undefined ? {} : { after: attributesJson(after) }),
  };
}

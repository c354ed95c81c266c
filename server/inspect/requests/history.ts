import { createHash } from 'node:crypto';
import { asRestoreError, parseAddress, RestoreError } from '../../../core/index.ts';
import type { PointRecord } from '../../../store-reader/index.ts';
import {
  type FoundFile,
  type HistoryCounts,
  historyOf,
  type HistorySource,
  lookFor,
  nameForJson,
  showName,
  showText,
  type Version,
  type Wanted,
} from '../../../vfs/index.ts';
import type { HistoryRequest } from '../messages.ts';
import type { InspectContext } from '../session.ts';
import { attributesJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { formatTime } from '../text/time.ts';

const CHUNK_BYTES = 1024 * 1024;
/** Columns: two times and what joins them, how many points, bytes, a time. */
const [SPAN_WIDTH, COUNT_WIDTH, SIZE_WIDTH, TIME_WIDTH] = [52, 4, 12, 20] as const;

/** `history`: every version of a file over the points of its machine, oldest first. */
export async function history(context: InspectContext, request: HistoryRequest): Promise<void> {
  const { session, output, remarks } = context;
  const { machine } = parseAddress(request.address);
  const source = await session.history(machine);
  const wanted = await wantedBy(context, source, request);
  const counts: HistoryCounts = { same: 0, untouched: 0, looked: 0 };
  const json = request.json ? new JsonList(output, 'versions') : undefined;
  const onProblem = (error: RestoreError, path: string): void =>
    remarks.fail(error, showName(path));
  let wasThere = false;
  let isFirst = true;
  for await (const version of historyOf(source, { wanted, onProblem }, counts)) {
    wasThere ||= version.state !== 'absent';
    if (version.error !== undefined) remarks.fail(version.error, nameOf(version.from));
    const sha256 = request.hash ? await hashOf(context, version) : undefined;
    if (json === undefined) {
      if (isFirst) output.write(headLine(request));
      output.write(lineOf(version, sha256, request.follow));
    } else json.add(versionJson(version, sha256));
    isFirst = false;
    // Signs of life, and the parent's wish to end this, must get through.
    await new Promise(setImmediate);
  }
  json?.end({ points: { total: source.points.length, ...counts } });
  if (!wasThere) throw neverThere(request.address);
}

function neverThere(address: string): RestoreError {
  return new RestoreError('NOT_FOUND', 'no point of the machine has this file', {
    where: { object: showName(address) },
    hint: '`rehydrate ls` lists what there is.',
  });
}

/** The address's path at every point; with `follow`, the file that has it at the address's point. */
async function wantedBy(
  { session }: InspectContext,
  source: HistorySource<PointRecord>,
  { address: text, follow }: HistoryRequest,
): Promise<Wanted> {
  const { point, address } = await session.point(text);
  const { disk, volume, path = '/' } = address;
  const where = {
    ...(disk === undefined ? {} : { disk }),
    ...(volume === undefined ? {} : { volume }),
    path,
  };
  if (!follow) return { address: where };
  const { file, error, machine } = await lookFor(await source.disksOf(point), { address: where });
  try {
    if (error !== undefined) throw error;
    if (file === undefined) throw neverThere(text);
    if (file.fileSystem.records !== undefined) {
      return { volume: file.volume.id, attributes: file.attributes };
    }
    throw new RestoreError('UNSUPPORTED', `${file.fileSystem.type} gives files no lasting number`, {
      where: { object: showName(text) },
      hint: 'Leave out --follow: then the history is that of the path.',
    });
  } finally {
    await machine.close();
  }
}

async function hashOf(
  { remarks }: InspectContext,
  { file, from }: Version<PointRecord>,
): Promise<string | undefined> {
  if (file?.attributes.kind !== 'file') return undefined;
  try {
    return await hashContent(file);
  } catch (error) {
    remarks.fail(asRestoreError(error, 'cannot read'), `${nameOf(from)}:${showName(file.path)}`);
    return undefined;
  }
}

async function hashContent({ fileSystem, node }: FoundFile): Promise<string> {
  const content = await fileSystem.open(node);
  const hash = createHash('sha256');
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, content.size));
  try {
    for (let at = 0; at < content.size; at += CHUNK_BYTES) {
      const part = chunk.subarray(0, Math.min(CHUNK_BYTES, content.size - at));
      await content.readInto(part, at);
      hash.update(part);
      await new Promise(setImmediate);
    }
  } finally {
    await content.close();
  }
  return hash.digest('hex');
}

function nameOf({ machine, takenAt }: PointRecord): string {
  return `${machine}@${takenAt}`;
}

function headLine({ hash, follow }: HistoryRequest): string {
  const names = [
    ...['RESTORE POINTS'.padEnd(SPAN_WIDTH), '#'.padStart(COUNT_WIDTH)],
    ...['SIZE'.padStart(SIZE_WIDTH), 'MODIFIED'.padEnd(TIME_WIDTH)],
    ...(hash ? ['SHA-256'.padEnd(64)] : []),
    ...(follow ? ['PATH'] : []),
  ];
  return `${names.join('  ').trimEnd()}\n`;
}

/** From, to, points, size, time, what changed. */
function lineOf(
  version: Version<PointRecord>,
  sha256: string | undefined,
  follow: boolean,
): string {
  const { from, to, points, file } = version;
  const span = points === 1 ? from.takenAt : `${from.takenAt} .. ${to.takenAt}`;
  const columns = [span.padEnd(SPAN_WIDTH), `${points}`.padStart(COUNT_WIDTH)];
  if (file === undefined) return `${[...columns, version.state].join('  ')}\n`;
  const { size, modified, kind } = file.attributes;
  columns.push(`${size}`.padStart(SIZE_WIDTH), formatTime(modified).padEnd(TIME_WIDTH));
  if (sha256 !== undefined) columns.push(sha256);
  if (follow) columns.push(showName(file.path));
  const notes = [
    ...(kind === 'file' ? [] : [kind]),
    ...(version.isReplaced === true ? ['another file'] : []),
    ...version.aspects,
  ];
  if (notes.length > 0) columns.push(`(${showText(notes.join(', '))})`);
  return `${columns.join('  ').trimEnd()}\n`;
}

function versionJson(
  { from, to, points, state, file, error, aspects, isReplaced }: Version<PointRecord>,
  sha256: string | undefined,
): Record<string, unknown> {
  const pointJson = ({ id, takenAt }: PointRecord): Record<string, string> => ({ id, takenAt });
  const path = file === undefined ? undefined : nameForJson(file.path);
  return {
    ...{ from: pointJson(from), to: pointJson(to), points, state, aspects },
    ...(isReplaced === undefined ? {} : { isReplaced }),
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    ...(path === undefined ? {} : { path: path.name }),
    ...(path?.nameBytes === undefined ? {} : { pathBytes: path.nameBytes }),
    ...(file === undefined ? {} : { volume: file.volume.id, ...attributesJson(file.attributes) }),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

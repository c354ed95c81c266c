import type { RecordMap, RecordRun } from '../../core/index.ts';
import { PlaceCursor } from './place-cursor.ts';

const RUN_BYTES = 64 * 1024;

/** Records that lie elsewhere on one side than on the other, or are in the table of one side alone. */
export async function* movedRecords(
  before: RecordMap,
  after: RecordMap,
  signal?: AbortSignal,
): AsyncGenerator<RecordRun> {
  const { recordBytes } = after;
  const one = new PlaceCursor(before.recordPlaces(signal));
  const other = new PlaceCursor(after.recordPlaces(signal));
  for (let at = 0; ; ) {
    const left = await one.at(at, Number.POSITIVE_INFINITY);
    const right = await other.at(at, Number.POSITIVE_INFINITY);
    const end = Math.min(left.end, right.end);
    if (left.place !== right.place) yield* runsIn(at, end, recordBytes);
    if (end === Number.POSITIVE_INFINITY) return;
    at = end;
  }
}

function* runsIn(start: number, end: number, recordBytes: number): Generator<RecordRun> {
  const most = RUN_BYTES / recordBytes;
  const last = Math.ceil(end / recordBytes);
  for (let first = Math.floor(start / recordBytes); first < last; ) {
    const count = Math.min(last - first, most - (first % most));
    yield { first, count };
    first += count;
  }
}

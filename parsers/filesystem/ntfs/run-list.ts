import { corrupt } from './damage.ts';

/** Clusters of a stream that lie in one piece; `at` is `HOLE` when they lie nowhere. */
export interface Run {
  /** First cluster, counted from the stream's start. */
  readonly first: number;
  readonly count: number;
  /** First cluster on the volume. */
  readonly at: number;
}

export const HOLE = -1;
const BYTES_MAX = 7;

/**
 * The mapping pairs of one attribute record: for each run a byte that tells how many bytes its length
 * and its distance from the run before take; no distance makes a hole.
 *
 * @param view the pairs and nothing behind what may hold them.
 * @param first cluster of the stream at which they begin.
 * @param clusterCount of the volume.
 * @throws RestoreError `CORRUPT` when they lead outside the volume or do not end.
 */
export function decodeRuns(view: DataView, first: number, clusterCount: number): Run[] {
  const runs: Run[] = [];
  let next = first;
  let place = 0;
  // Each step takes two bytes at least, so this ends.
  for (let at = 0; ; ) {
    if (at >= view.byteLength) throw damaged(at, 'an end mark', 'none');
    const sizes = view.getUint8(at);
    if (sizes === 0) return runs;
    const lengthBytes = sizes & 0x0f;
    const distanceBytes = sizes >> 4;
    const end = at + 1 + lengthBytes + distanceBytes;
    if (lengthBytes === 0 || lengthBytes > 8 || distanceBytes > 8 || end > view.byteLength) {
      throw damaged(at, 'sizes that fit', `0x${sizes.toString(16)}`);
    }
    const count = signed(view, at + 1, lengthBytes);
    if (count <= 0 || !Number.isSafeInteger(next + count)) {
      throw damaged(at, 'a length above 0', count);
    }
    if (distanceBytes === 0) {
      runs.push({ first: next, count, at: HOLE });
    } else {
      place += signed(view, at + 1 + lengthBytes, distanceBytes);
      if (place < 0 || place + count > clusterCount) {
        throw damaged(at, `clusters below ${clusterCount}`, `${count} at ${place}`);
      }
      runs.push({ first: next, count, at: place });
    }
    next += count;
    at = end;
  }
}

/** Little-endian, two's complement; beyond 56 bits nothing is a cluster. */
function signed(view: DataView, at: number, length: number): number {
  const top = view.getInt8(at + length - 1);
  const used = Math.min(length, BYTES_MAX);
  if (used < length && top !== 0 && top !== -1) throw damaged(at, 'a cluster number', 'more');
  let value = used < length ? top : 0;
  for (let index = used - 1; index >= 0; index -= 1) {
    const byte = index === length - 1 ? view.getInt8(at + index) : view.getUint8(at + index);
    value = value * 256 + byte;
  }
  if (!Number.isSafeInteger(value)) throw damaged(at, 'a cluster number', value);
  return value;
}

function damaged(offset: number, expected: string, found: string | number): Error {
  return corrupt('the map of a stream is damaged', {
    structure: 'mapping pairs',
    offset,
    expected,
    found,
  });
}

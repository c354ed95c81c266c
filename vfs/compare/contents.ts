import { isLocated, type Ranges, type SparseSource } from '../../core/index.ts';
import { PlaceCursor } from './place-cursor.ts';

const CHUNK_BYTES = 1024 * 1024;

/**
 * Whether two contents differ. Where both lie in the same place and nothing has changed there, they
 * are the same without a look.
 *
 * @param changed stretches of the volume that may read otherwise; `undefined` when that is not known.
 * @throws RestoreError what reading them throws.
 */
export async function contentsDiffer(
  before: SparseSource,
  after: SparseSource,
  changed: Ranges | undefined,
  signal?: AbortSignal,
): Promise<boolean> {
  if (before.size !== after.size) return true;
  for await (const { offset, length } of doubtful(before, after, changed, signal)) {
    for (let at = offset; at < offset + length; at += CHUNK_BYTES) {
      const bytes = Math.min(CHUNK_BYTES, offset + length - at);
      const [one, other] = [Buffer.allocUnsafe(bytes), Buffer.allocUnsafe(bytes)];
      await Promise.all([before.readInto(one, at, signal), after.readInto(other, at, signal)]);
      if (!one.equals(other)) return true;
      // A comparison of much takes long: signs of life must get through.
      await new Promise(setImmediate);
    }
  }
  return false;
}

interface Stretch {
  readonly offset: number;
  readonly length: number;
}

/** Stretches of the content that must be read to know. */
async function* doubtful(
  before: SparseSource,
  after: SparseSource,
  changed: Ranges | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Stretch> {
  const { size } = after;
  if (changed === undefined || !isLocated(before) || !isLocated(after)) {
    if (size > 0) yield { offset: 0, length: size };
    return;
  }
  const one = new PlaceCursor(before.places(signal));
  const other = new PlaceCursor(after.places(signal));
  for (let at = 0; at < size; ) {
    const left = await one.at(at, size);
    const right = await other.at(at, size);
    const length = Math.min(left.end, right.end) - at;
    if (left.place !== right.place) yield { offset: at, length };
    else if (left.place !== undefined) {
      for (const piece of changed.within(left.place, length)) {
        yield { offset: at + piece.offset - left.place, length: piece.length };
      }
    }
    at += length;
  }
}

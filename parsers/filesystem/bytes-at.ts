import { type BlockSource, readBytes } from '../../core/index.ts';

/** Bytes to look at and not to write to: a view of what is at hand, else a copy. */
export async function bytesAt(
  source: BlockSource,
  offset: number,
  length: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  return source.peek(offset, length) ?? (await readBytes(source, offset, length, signal));
}

import type { BlockSource, SparseSource } from '../../core/index.ts';
import { encodeQcow2 } from './qcow2/encode.ts';

/** Formats that a disk can be written as. */
const ENCODERS = { qcow2: encodeQcow2 } as const;
export type EncodableFormat = keyof typeof ENCODERS;

/**
 * A disk as the bytes of an image file, computed as they are read. Closing it closes `source`.
 *
 * @throws RestoreError `INVALID` for a disk that the format cannot hold.
 */
export function encodeImage(source: BlockSource, format: EncodableFormat): Promise<SparseSource> {
  return ENCODERS[format](source);
}

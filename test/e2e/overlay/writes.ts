import { seededRandom } from '../../fixtures/random.ts';

export const DISK_BYTES: number = 3 * 1024 * 1024;
const SECTOR_BYTES = 512;
/** Writes between two flushes, at most. */
export const BATCH_MAX = 16;

/** Write number `number` of an endless, repeatable row of them. */
export interface NumberedWrite {
  readonly offset: number;
  readonly length: number;
  readonly isDiscard: boolean;
}

export function numberedWrite(number: number): NumberedWrite {
  const random = seededRandom(number);
  const sectors = DISK_BYTES / SECTOR_BYTES;
  const first = Math.floor(random() * sectors);
  const most = Math.min(sectors - first, random() < 0.8 ? 16 : 600);
  const count = 1 + Math.floor(random() * most);
  return {
    offset: first * SECTOR_BYTES,
    length: count * SECTOR_BYTES,
    isDiscard: random() < 0.2,
  };
}

/** The bytes of a write: in every sector its number and the sector's own; zeros for a discard. */
export function bytesOf(number: number, { offset, length, isDiscard }: NumberedWrite): Uint8Array {
  const words = new Uint32Array(length / 4);
  if (isDiscard) return new Uint8Array(words.buffer);
  for (let at = 0; at < words.length; at += 2) {
    words[at] = number;
    words[at + 1] = Math.floor((offset + at * 4) / SECTOR_BYTES) + 1;
  }
  return new Uint8Array(words.buffer);
}

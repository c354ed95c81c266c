import { RestoreError } from '../../../core/index.ts';

/**
 * LZNT1, the compression of NTFS and of `RtlCompressBuffer` ([MS-XCA] 2.5).
 *
 * A stream is a row of chunks, each of which unpacks to 4 KiB and knows nothing of the others. A
 * chunk begins with 16 bits: its length less 3, the signature 3, and whether it is compressed. Then
 * come groups of a flag byte and eight tokens: a literal byte, or 16 bits that say how far to go back
 * and how much to copy. How those 16 bits are shared out follows the place in the chunk: the further
 * on, the more of them tell the distance.
 *
 * A chunk that unpacks to less than 4 KiB is filled up with zeros, and so is what follows the end of
 * the stream (a header of zero, or its last byte): both Windows and ntfs-3g write and read it so.
 */
const CHUNK_BYTES = 4096;
const HEADER_BYTES = 2;
const COMPRESSED_FLAG = 0x8000;
const SIGNATURE_MASK = 0x7000;
const SIGNATURE = 0x3000;
const LENGTH_MASK = 0x0fff;
/** Chunk lengths are stored less this. */
const LENGTH_BIAS = 3;
const MATCH_BYTES_MIN = 3;
/** From here on a copy by the runtime beats a loop (measured). */
const BULK_COPY_BYTES = 48;

/** Distance bits at each place of a chunk: as many as the place needs, 4 at least. */
const LENGTH_BITS = lengthBitsByPlace();

/**
 * Unpacks the stream in `packed` into the whole of `target`, what the stream does not reach being
 * zeros. Bytes behind the stream's end are ignored: a compression unit is rounded up to clusters.
 *
 * @returns how many bytes the stream's chunks stand for: a multiple of 4 KiB, or the target's length.
 * @throws RestoreError `CORRUPT`, with the offset in `packed`, when a chunk does not fit, points
 *   before its own start or unpacks to more than 4 KiB or than `target` has room for.
 */
export function decompressLznt1(packed: Uint8Array, target: Uint8Array): number {
  let from = 0;
  let to = 0;
  while (to < target.length && from + HEADER_BYTES <= packed.length) {
    const header = (packed[from] as number) | ((packed[from + 1] as number) << 8);
    if (header === 0) break;
    const end = checkedEnd(packed, from, header);
    const stop = Math.min(to + CHUNK_BYTES, target.length);
    if ((header & COMPRESSED_FLAG) === 0) copyChunk(packed, from, end, target, to, stop);
    else unpackChunk(packed, from, end, target, to, stop);
    from = end;
    to = stop;
  }
  target.fill(0, to);
  return to;
}

function checkedEnd(packed: Uint8Array, from: number, header: number): number {
  if ((header & SIGNATURE_MASK) !== SIGNATURE) {
    throw damaged(from, 'the signature 3', `header 0x${header.toString(16)}`);
  }
  const length = (header & LENGTH_MASK) + LENGTH_BIAS;
  if (from + length > packed.length) {
    throw damaged(from, `at most ${packed.length - from} bytes`, `a chunk of ${length}`);
  }
  return from + length;
}

function copyChunk(
  packed: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  stop: number,
): void {
  const start = from + HEADER_BYTES;
  if (end - start !== CHUNK_BYTES) {
    throw damaged(from, `${CHUNK_BYTES} bytes that are not compressed`, `${end - start}`);
  }
  target.set(packed.subarray(start, start + stop - to), to);
}

/** One compressed chunk: bytes `from` to `end` of `packed` into `to` to `stop` of `target`. */
function unpackChunk(
  packed: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
  stop: number,
): void {
  let source = from + HEADER_BYTES;
  let place = to;
  while (source < end) {
    let flags = packed[source++] as number;
    for (let left = 8; left > 0 && source < end; left -= 1, flags >>= 1) {
      if ((flags & 1) === 0) {
        if (place >= stop) throw tooLong(source);
        target[place++] = packed[source++] as number;
        continue;
      }
      if (source + 2 > end) throw damaged(source, 'two bytes of a match', 'one');
      if (place === to) throw damaged(source, 'a literal first', 'a match');
      const match = (packed[source] as number) | ((packed[source + 1] as number) << 8);
      const lengthBits = LENGTH_BITS[place - to] as number;
      const distance = (match >> lengthBits) + 1;
      const length = (match & ((1 << lengthBits) - 1)) + MATCH_BYTES_MIN;
      if (place - distance < to) {
        throw damaged(source, `at most ${place - to} bytes back`, `${distance}`);
      }
      if (place + length > stop) throw tooLong(source);
      copyMatch(target, place, distance, length);
      source += 2;
      place += length;
    }
  }
  target.fill(0, place, stop);
}

/** A match may reach into what it writes itself: then it repeats. */
function copyMatch(target: Uint8Array, place: number, distance: number, length: number): void {
  if (length >= BULK_COPY_BYTES && distance === 1) {
    target.fill(target[place - 1] as number, place, place + length);
  } else if (length >= BULK_COPY_BYTES && distance >= length) {
    target.copyWithin(place, place - distance, place - distance + length);
  } else {
    const end = place + length;
    for (let at = place; at < end; at += 1) target[at] = target[at - distance] as number;
  }
}

function lengthBitsByPlace(): Uint8Array {
  const bits = new Uint8Array(CHUNK_BYTES + 1);
  for (let place = 1; place < bits.length; place += 1) {
    bits[place] = 12 - Math.max(0, 28 - Math.clz32(place - 1));
  }
  return bits;
}

function tooLong(offset: number): RestoreError {
  return damaged(offset, 'no more than 4 KiB in a chunk, and no more than is asked for', 'more');
}

function damaged(offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'compressed data is damaged', {
    where: { structure: 'LZNT1 chunk', offset, expected, found },
  });
}

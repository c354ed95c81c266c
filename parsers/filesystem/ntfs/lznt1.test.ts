import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isRestoreError } from '../../../core/index.ts';
import { missingForNtfs, withNtfsMounted } from '../../../test/fixtures/file-systems/index.ts';
import { NtfsScratch, storedUnits } from '../../../test/fixtures/file-systems/ntfs-scratch.ts';
import { randomBytes, seededRandom } from '../../../test/fixtures/random.ts';
import { decompressLznt1 } from './lznt1.ts';

const CHUNK_BYTES = 4096;
const KEEP = 0xee;

/** The example of [MS-XCA] 3.3: a tune and what Windows makes of it. */
const TUNE =
  'F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E ' +
  'F# G F# E D E A F# F# G A A G F# E D D E F# E D D';
const PACKED_TUNE =
  '38b08846232000204720410010a24701a045204400084501507900c045200524138805b4024a44ef0358028c0916' +
  '01484500be009e000401189000';

describe('decompressLznt1', () => {
  it("unpacks the specification's example and fills its chunk with zeros", () => {
    const target = new Uint8Array(2 * CHUNK_BYTES).fill(KEEP);
    expect(decompressLznt1(Buffer.from(PACKED_TUNE, 'hex'), target)).toBe(CHUNK_BYTES);
    expect(Buffer.from(target).toString('latin1').replace(/\0+$/, '')).toBe(TUNE);
    expect(target.subarray(TUNE.length).every((byte) => byte === 0)).toBe(true);
  });

  it('copies a chunk that is not compressed, and one behind it', () => {
    const plain = randomBytes(CHUNK_BYTES, 1);
    const packed = Buffer.concat([plainChunk(plain), plainChunk(plain.toReversed())]);
    const target = new Uint8Array(2 * CHUNK_BYTES);
    expect(decompressLznt1(packed, target)).toBe(2 * CHUNK_BYTES);
    expect(Buffer.from(target).equals(Buffer.concat([plain, plain.toReversed()]))).toBe(true);
  });

  it('ends at a header of zero, at the last byte, and with nothing at all', () => {
    const chunk = Buffer.from(PACKED_TUNE, 'hex');
    const endings = ['', '00', '0000', '0000ffff', '0000deadbeef'];
    for (const ending of endings) {
      const target = new Uint8Array(CHUNK_BYTES + 10).fill(KEEP);
      const packed = Buffer.concat([chunk, Buffer.from(ending, 'hex')]);
      expect(decompressLznt1(packed, target)).toBe(CHUNK_BYTES);
      expect(target.subarray(TUNE.length).every((byte) => byte === 0)).toBe(true);
    }
    const target = new Uint8Array(10).fill(KEEP);
    expect(decompressLznt1(new Uint8Array(0), target)).toBe(0);
    expect(target.every((byte) => byte === 0)).toBe(true);
  });

  it('repeats what a match itself writes, at every place of a chunk', () => {
    for (const distance of [1, 2, 3, 7, 16, 17, 100, 1000]) {
      const start = randomBytes(distance, distance);
      const length = 200;
      const target = new Uint8Array(CHUNK_BYTES);
      const bits = 12 - Math.max(0, 28 - Math.clz32(distance - 1));
      if (length > 2 + 2 ** bits) continue;
      decompressLznt1(literalsThenMatch(start, distance, length, bits), target);
      const expected = Array.from({ length: distance + length }, (_, at) => start[at % distance]);
      expect([...target.subarray(0, distance + length)]).toEqual(expected);
    }
  });

  it.each([
    ['a chunk that ends behind the data', 'ffbf00aabb', 'LZNT1 chunk', 0],
    ['a signature other than 3', '02c000aabb', 'LZNT1 chunk', 0],
    ['a short chunk that is not compressed', '0230aabbccdd', 'LZNT1 chunk', 0],
    ['a match before any literal', '02b0010000', 'LZNT1 chunk', 3],
    ['a match that points before its chunk', '03b002610010', 'LZNT1 chunk', 4],
    ['a match cut off by the end of its chunk', '02b0026100', 'LZNT1 chunk', 4],
  ])('refuses %s', (_, packed, structure, offset) => {
    const error = thrownBy(() =>
      decompressLznt1(Buffer.from(packed, 'hex'), new Uint8Array(CHUNK_BYTES)),
    );
    expect(error).toMatchObject({ code: 'CORRUPT', where: { structure, offset } });
  });

  it('refuses more than a chunk holds, and more than is asked for', () => {
    const tooLong = literalsThenMatch(Uint8Array.of(1), 1, 4098, 12);
    expect(thrownBy(() => decompressLznt1(tooLong, new Uint8Array(8192)))).toMatchObject({
      code: 'CORRUPT',
    });
    const fits = literalsThenMatch(Uint8Array.of(1), 1, 4095, 12);
    expect(decompressLznt1(fits, new Uint8Array(4096))).toBe(4096);
    expect(thrownBy(() => decompressLznt1(fits, new Uint8Array(4095)))).toMatchObject({
      code: 'CORRUPT',
    });
  });

  it('gives an error of ours or bytes for any damage, and writes in its target alone', () => {
    const tune = Buffer.from(PACKED_TUNE, 'hex');
    for (let seed = 0; seed < 3000; seed += 1) {
      const random = seededRandom(seed);
      const packed = Buffer.from(seed % 3 === 0 ? randomBytes(300, seed) : tune);
      for (let count = 1 + Math.floor(random() * 4); count > 0; count -= 1) {
        packed[Math.floor(random() * packed.length)] = Math.floor(random() * 256);
      }
      const around = new Uint8Array(3 * CHUNK_BYTES).fill(KEEP);
      const error = thrownBy(() =>
        decompressLznt1(packed, around.subarray(CHUNK_BYTES, 2 * CHUNK_BYTES)),
      );
      if (error !== undefined) expect(isRestoreError(error, 'CORRUPT'), `seed ${seed}`).toBe(true);
      const edges = [around.subarray(0, CHUNK_BYTES), around.subarray(2 * CHUNK_BYTES)];
      expect(edges.every((edge) => edge.every((byte) => byte === KEEP))).toBe(true);
    }
  });
});

const reason = missingForNtfs('ntfsinfo');

describe(`files compressed by ntfs-3g${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  beforeEach((context) => context.skip(scratch === undefined, reason));
  afterAll(() => scratch?.remove());

  it.each(['compressed', 'compressed in clusters of 512'] as const)(
    'unpack to what ntfs-3g reads: %s',
    { timeout: 60_000 },
    async (name) => {
      const image = await (scratch as NtfsScratch).image(name);
      const files = await withNtfsMounted(image, ['ro'], readPacked);
      let packedUnits = 0;
      for (const { name: file, record, content } of files) {
        const read: Uint8Array[] = [];
        for (const { unitBytes, isPacked, stored } of await storedUnits(image, record)) {
          const unit = new Uint8Array(unitBytes);
          if (isPacked) decompressLznt1(stored, unit);
          else unit.set(stored);
          packedUnits += isPacked ? 1 : 0;
          read.push(unit);
        }
        const whole = Buffer.concat(read).subarray(0, content.length);
        expect({ file, isRight: whole.equals(content) }).toEqual({ file, isRight: true });
      }
      expect(packedUnits).toBeGreaterThan(30);
    },
  );
});

interface PackedFile {
  readonly name: string;
  readonly record: number;
  readonly content: Buffer;
}

/** All that is too large for its record, where nothing is compressed. */
function readPacked(mountPoint: string): PackedFile[] {
  const folder = path.join(mountPoint, 'packed');
  return readdirSync(folder)
    .map((name) => {
      const file = path.join(folder, name);
      return { name, record: statSync(file).ino, content: readFileSync(file) };
    })
    .filter(({ content }) => content.length > 1024);
}

function plainChunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0xff, 0x3f), bytes]);
}

/** One chunk: literals, then one match. */
function literalsThenMatch(
  literals: Uint8Array,
  distance: number,
  length: number,
  lengthBits: number,
): Buffer {
  const match = ((distance - 1) << lengthBits) | (length - 3);
  const tokens = [...Array.from(literals, (byte) => [byte]), [match & 0xff, match >> 8]];
  const parts: number[] = [];
  for (let at = 0; at < tokens.length; at += 8) {
    const group = tokens.slice(at, at + 8);
    parts.push(at + 8 >= tokens.length ? 1 << (group.length - 1) : 0, ...group.flat());
  }
  const header = Buffer.alloc(2);
  header.writeUInt16LE(0xb000 | (parts.length - 1));
  return Buffer.concat([header, Buffer.from(parts)]);
}

function thrownBy(body: () => unknown): unknown {
  try {
    body();
    return undefined;
  } catch (error) {
    return error;
  }
}

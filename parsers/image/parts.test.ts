import * as zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BytesSource, slice } from '../../core/index.ts';
import { bitRun } from './bitmap.ts';
import { PatchedSource, Patches } from './vhdx/patches.ts';
import { windowsReferences } from './windows-path.ts';
import { zstdFrameBytes } from './zstd-frame.ts';

describe('bitRun', () => {
  it.each(['most significant first', 'least significant first'] as const)(
    'agrees with a walk bit by bit, %s',
    (order) => {
      const bits = Uint8Array.of(0xff, 0xff, 0xf3, 0x00, 0x00, 0x80, 0x01, 0xff, 0x0f, 0xa5);
      const value = (at: number): number => {
        const text = (bits[at >>> 3] as number).toString(2).padStart(8, '0');
        return Number(order === 'most significant first' ? text[at & 7] : text[7 - (at & 7)]);
      };
      for (let first = 0; first < 80; first += 1) {
        for (let limit = 1; limit <= 80 - first; limit += 1) {
          let count = 1;
          while (count < limit && value(first + count) === value(first)) count += 1;
          expect(bitRun(bits, first, limit, order)).toEqual({ set: value(first) === 1, count });
        }
      }
    },
  );
});

describe('zstdFrameBytes', () => {
  it.each([
    { what: 'checksum', params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 }, length: 5000 },
    {
      what: 'no content size',
      params: { [zlib.constants.ZSTD_c_contentSizeFlag]: 0 },
      length: 300_000,
    },
    { what: 'empty', params: {}, length: 0 },
    { what: 'one byte', params: {}, length: 1 },
    { what: 'many blocks', params: {}, length: 3_000_000 },
  ])('finds the end of a frame: $what', ({ params, length }) => {
    for (const fill of ['a', undefined]) {
      const plain = Buffer.alloc(length, fill);
      if (fill === undefined) plain.forEach((_, at) => (plain[at] = (at * 2654435761) >>> 24));
      const frame = zlib.zstdCompressSync(plain, { params });
      expect(zstdFrameBytes(Buffer.concat([frame, frame, Buffer.from('more')]))).toBe(frame.length);
      if (frame.length > 9) expect(() => zstdFrameBytes(frame.subarray(0, -1))).toThrow(RangeError);
    }
  });
});

describe('Patches', () => {
  it('agree with writing into the file', async () => {
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 50; round += 1) {
      const original = Buffer.alloc(100, 0x11);
      const model = Buffer.alloc(140);
      original.copy(model);
      const patches = new Patches();
      for (let write = 0; write < 12; write += 1) {
        const offset = random(130);
        const length = 1 + random(140 - offset);
        const data = random(3) === 0 ? undefined : Buffer.alloc(length, 0x20 + write);
        patches.write(offset, length, data);
        if (data === undefined) model.fill(0, offset, offset + length);
        else data.copy(model, offset);
      }
      const source = new PatchedSource(slice(new BytesSource(original), 0, 100), patches, 140);
      const read = Buffer.alloc(140, 0xff);
      await source.readInto(read, 0);
      expect(read.toString('hex')).toBe(model.toString('hex'));
      const inExtents = Buffer.alloc(140);
      for await (const { offset, length } of source.extents(0, 140)) {
        model.copy(inExtents, offset, offset, offset + length);
      }
      expect(inExtents.toString('hex')).toBe(model.toString('hex'));
    }
  });
});

describe('windowsReferences', () => {
  it('tries the relative path, then the name alone, and no absolute Windows path', () => {
    const paths = [
      '.\\base\\disk.vhd',
      'C:\\VMs\\disk.vhd',
      '\\\\?\\Volume{1}\\other.vhd',
      '/mnt/disk.vhd',
    ];
    expect(windowsReferences(paths)).toEqual([
      './base/disk.vhd',
      'disk.vhd',
      'other.vhd',
      '/mnt/disk.vhd',
    ]);
  });
});

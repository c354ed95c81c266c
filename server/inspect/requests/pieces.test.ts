import { describe, expect, it } from 'vitest';
import { BytesSource, faulty, RestoreError, type SparseSource } from '../../../core/index.ts';
import { piecesOf } from './pieces.ts';

const MIB = 1024 * 1024;
const SIZE = 9 * MIB + 4096;
const CONTENT = Buffer.alloc(SIZE, 'no two megabytes of this are alike, as its length is prime');

function content(): SparseSource {
  return faulty(new BytesSource(CONTENT), []);
}

describe('pieces of a file', () => {
  it('are its bytes, one behind the other, however long each is used', async () => {
    const parts: Buffer[] = [];
    for await (const { at, bytes } of piecesOf(content(), [{ offset: 0, length: SIZE }])) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(at).toBe(parts.length * MIB);
      parts.push(Buffer.from(bytes));
    }
    expect(Buffer.concat(parts).equals(CONTENT)).toBe(true);
  });

  it('are of the stretches that were asked for, and no longer than asked for', async () => {
    const stretches = [
      { offset: 10, length: 5000 },
      { offset: MIB, length: 100_000 },
    ];
    const found: [number, number][] = [];
    for await (const { at, bytes } of piecesOf(content(), stretches, { pieceBytes: 4096 })) {
      expect(CONTENT.subarray(at, at + bytes.byteLength).equals(bytes)).toBe(true);
      found.push([at, bytes.byteLength]);
    }
    expect(found.slice(0, 3)).toEqual([
      [10, 4096],
      [4106, 904],
      [MIB, 4096],
    ]);
    expect(found.reduce((sum, [, length]) => sum + length, 0)).toBe(105_000);
  });

  it('come up to the first that cannot be read, which is named', async () => {
    const range = { offset: 5 * MIB + 7, length: 1 };
    const source = faulty(new BytesSource(CONTENT), [{ range }]);
    const ends: number[] = [];
    const failed = (cause: RestoreError, at: number): RestoreError =>
      new RestoreError(cause.code, `at ${at}`, { cause });
    const reading = async (): Promise<void> => {
      for await (const { at } of piecesOf(source, [{ offset: 0, length: SIZE }], { failed })) {
        ends.push(at);
      }
    };
    await expect(reading()).rejects.toThrow(`at ${5 * MIB}`);
    expect(ends).toEqual([0, 1, 2, 3, 4].map((number) => number * MIB));
  });

  it('are not read any more when nobody wants the rest', async () => {
    let running = 0;
    const slow: SparseSource = {
      ...{ size: SIZE, sectorSize: 512, peek: () => undefined },
      extents: (offset, length) => content().extents(offset, length),
      readInto: async () => {
        running += 1;
        await new Promise((resolve) => setTimeout(resolve, 10));
        running -= 1;
      },
      close: async () => {},
    };
    for await (const piece of piecesOf(slow, [{ offset: 0, length: SIZE }])) {
      expect(piece.at).toBe(0);
      break;
    }
    expect(running).toBe(0);
  });
});

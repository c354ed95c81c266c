import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Extent, extentsOf, readBytes } from '../core/index.ts';
import { blockSourceSuite } from '../test/conformance/block-source-suite.ts';
import { LoopDevice } from '../test/fixtures/loop-device.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch } from '../test/fixtures/repository.ts';
import { findTool, run } from '../test/fixtures/tools/index.ts';
import { FileSource, localFiles } from './file-source.ts';

const MIB = 1024 * 1024;

let scratch: Scratch;
let noLoop: string | undefined;
beforeAll(async () => {
  using own = new Scratch();
  noLoop = await LoopDevice.missing(own.file('probe'));
});
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

/** Data at a few places, holes between; returns what the file holds. */
function writeSparse(file: string, sizeBytes: number): Uint8Array {
  const content = new Uint8Array(sizeBytes);
  const descriptor = openSync(file, 'w');
  ftruncateSync(descriptor, sizeBytes);
  for (const [offset, length] of [
    [0, 5000],
    [2 * MIB, 300_000],
    [sizeBytes - 700, 700],
  ] as const) {
    const data = randomBytes(length, offset + 1);
    content.set(data, offset);
    writeSync(descriptor, data, 0, length, offset);
  }
  closeSync(descriptor);
  return content;
}

const suiteScratch = new Scratch();
afterAll(() => suiteScratch[Symbol.dispose]());
let suiteNumber = 0;
blockSourceSuite('a sparse file', async () => {
  suiteNumber += 1;
  const file = suiteScratch.file(`suite-${suiteNumber}`);
  const content = writeSparse(file, 5 * MIB + 300);
  return { source: FileSource.open(file), content };
});

describe('a file', () => {
  it('shows the holes that qemu-img sees', async (context) => {
    context.skip(findTool('qemu-img') === undefined, 'qemu-img is not installed');
    const file = scratch.file('sparse.raw');
    writeSparse(file, 40 * MIB);
    const { stdout } = await run('qemu-img', ['map', '-f', 'raw', '--output=json', file]);
    const map = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
    const expected = map
      .filter(({ data }) => data)
      .map(({ start, length }): Extent => ({ offset: start, length }));
    const source = FileSource.open(file);
    expect(await Array.fromAsync(extentsOf(source))).toEqual(expected);
    expect(expected.length).toBeGreaterThan(1);
    await source.close();
  });

  it('that is all hole, or empty, has no extents', async () => {
    for (const size of [0, 10 * MIB]) {
      const file = scratch.file(`hole-${size}`);
      writeFileSync(file, '');
      truncateSync(file, size);
      const source = FileSource.open(file);
      expect(source.size).toBe(size);
      expect(await Array.fromAsync(extentsOf(source))).toEqual([]);
      expect((await readBytes(source, 0, size)).every((byte) => byte === 0)).toBe(true);
      await source.close();
    }
  });

  it('that becomes shorter while it is read is an error, not zeros', async () => {
    const file = scratch.file('shrinking');
    writeFileSync(file, randomBytes(2 * MIB, 1));
    const source = FileSource.open(file);
    truncateSync(file, MIB);
    await expect(readBytes(source, MIB - 10, 20)).rejects.toMatchObject({
      code: 'IO',
      where: { object: file, offset: MIB },
    });
    expect(await readBytes(source, 0, MIB)).toHaveLength(MIB);
    await source.close();
  });

  it.each([
    ['missing', () => undefined, 'NOT_FOUND'],
    ['a folder', (file: string) => mkdirSync(file), 'INVALID'],
    ['a character device', (file: string) => symlinkSync('/dev/zero', file), 'INVALID'],
    ['a link to nothing', (file: string) => symlinkSync('nowhere', file), 'NOT_FOUND'],
  ])('that is %s is refused', (_, make, code) => {
    const file = scratch.file('odd');
    make(file);
    expect(() => FileSource.open(file)).toThrow(expect.objectContaining({ code }));
  });

  it('of a parser’s reference is found beside the file that refers to it', () => {
    expect(localFiles.resolve('/images/a/overlay.qcow2', '../base.raw')).toBe('/images/base.raw');
    expect(localFiles.resolve('/images/a/overlay.qcow2', '/base.raw')).toBe('/base.raw');
  });
});

describe('a block device', () => {
  it('has the size and the sectors that the kernel says, and reads to its end', async (context) => {
    context.skip(noLoop !== undefined, noLoop);
    for (const [sizeBytes, options, sectorSize] of [
      [3 * MIB + 512, [], 512],
      [4 * MIB, ['--sector-size', '4096'], 4096],
    ] as const) {
      const device = await LoopDevice.attach(scratch.file('disk'), sizeBytes, options);
      try {
        const content = randomBytes(sizeBytes, 9);
        writeFileSync(device.path, content);
        const { stdout } = await run('blockdev', ['--getsize64', '--getss', device.path]);
        const source = FileSource.open(device.path);
        expect([source.size, source.sectorSize]).toEqual(stdout.trim().split('\n').map(Number));
        expect([source.size, source.sectorSize]).toEqual([sizeBytes, sectorSize]);
        expect(Buffer.compare(await readBytes(source, 0, sizeBytes), content)).toBe(0);
        await source.close();
      } finally {
        await device.detach();
      }
    }
  });
});

import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, type Extent, faulty, isAllZero, type SparseSource } from '../core/index.ts';
import { LoopDevice } from '../test/fixtures/loop-device.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch } from '../test/fixtures/repository.ts';
import { run } from '../test/fixtures/tools/index.ts';
import { type WriteProgress, writeDisk } from './disk-writer.ts';

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

/** 30 MiB and a bit: data at both ends and in the middle, told by extents. */
function sparseDisk(): { source: SparseSource; content: Uint8Array } {
  const content = new Uint8Array(30 * MIB + 512);
  const extents: Extent[] = [
    { offset: 0, length: 70_000 },
    { offset: 11 * MIB + 4096, length: 2 * MIB },
    { offset: content.length - 512, length: 512 },
  ];
  for (const { offset, length } of extents) content.set(randomBytes(length, offset), offset);
  const bytes = new BytesSource(content);
  const source: SparseSource = {
    size: content.length,
    sectorSize: 512,
    readInto: (target, offset, signal) => bytes.readInto(target, offset, signal),
    peek: (offset, length) => bytes.peek(offset, length),
    close: () => bytes.close(),
    async *extents() {
      yield* extents;
    },
  };
  return { source, content };
}

const same = (file: string, content: Uint8Array): boolean =>
  Buffer.compare(readFileSync(file), content) === 0;

describe('a disk written to a file', () => {
  it('has the bytes, and holes where there is no data', async () => {
    const { source, content } = sparseDisk();
    const out = scratch.file('out.raw');
    const written = await writeDisk(source, out, { verify: true });
    expect(same(out, content)).toBe(true);
    const { stdout } = await run('du', ['--block-size=1', out]);
    expect(Number(stdout.split('\t')[0])).toBeLessThan(3 * MIB);
    expect(written).toBeLessThan(4 * MIB);
  });

  it('leaves out zeros even where the source does not know its holes', async () => {
    const { content } = sparseDisk();
    const out = scratch.file('out.raw');
    await writeDisk(new BytesSource(content), out);
    expect(same(out, content)).toBe(true);
    expect(statSync(out).blocks * 512).toBeLessThan(8 * MIB);
  });

  it('can be of no bytes, of one sector, and of zeros alone', async () => {
    for (const size of [0, 512, 5 * MIB]) {
      const out = scratch.file(`zeros-${size}`);
      expect(await writeDisk(new BytesSource(new Uint8Array(size)), out, { verify: true })).toBe(0);
      expect([statSync(out).size, statSync(out).blocks]).toEqual([size, 0]);
    }
  });

  it('takes nobody’s place unless told to, and then as a whole', async () => {
    const out = scratch.file('out.raw');
    writeFileSync(out, 'precious');
    const { source, content } = sparseDisk();
    await expect(writeDisk(source, out)).rejects.toMatchObject({ code: 'EXISTS' });
    expect(readFileSync(out, 'utf8')).toBe('precious');
    await writeDisk(source, out, { force: true });
    expect(same(out, content)).toBe(true);
    await expect(writeDisk(source, scratch.path, { force: true })).rejects.toMatchObject({
      code: 'INVALID',
    });
  });

  it('is not there at all when the source fails, and an older one stays', async () => {
    const { source } = sparseDisk();
    const fault = { range: { offset: 12 * MIB, length: 1 }, code: 'CORRUPT' as const };
    const out = scratch.file('out.raw');
    await expect(writeDisk(faulty(source, [fault]), out)).rejects.toMatchObject({
      code: 'CORRUPT',
    });
    expect(readdirSync(scratch.path)).toEqual([]);
    writeFileSync(out, 'older');
    const forced = writeDisk(faulty(source, [fault]), out, { force: true });
    await expect(forced).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(readFileSync(out, 'utf8')).toBe('older');
    expect(readdirSync(scratch.path)).toEqual(['out.raw']);
  });

  it('is one of the two, whole, when two are written to one name at once', async () => {
    const out = scratch.file('out.raw');
    const contents = [1, 2].map((seed) => randomBytes(9 * MIB, seed));
    const outcomes = await Promise.allSettled(
      contents.map((content) => writeDisk(new BytesSource(content), out, { force: true })),
    );
    expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);
    expect(contents.some((content) => same(out, content))).toBe(true);
    expect(readdirSync(scratch.path)).toEqual(['out.raw']);
  });

  it('leaves alone what the user keeps beside it', async () => {
    writeFileSync(scratch.file('out.raw.partial'), 'precious');
    const { source, content } = sparseDisk();
    await writeDisk(source, scratch.file('out.raw'));
    expect(same(scratch.file('out.raw'), content)).toBe(true);
    expect(readFileSync(scratch.file('out.raw.partial'), 'utf8')).toBe('precious');
  });

  it('is not there when it was cancelled, or its folder is missing', async () => {
    const { source } = sparseDisk();
    const controller = new AbortController();
    const cancelled = writeDisk(source, scratch.file('out.raw'), {
      signal: controller.signal,
      onProgress: ({ reachedBytes }) => {
        if (reachedBytes > 11 * MIB) controller.abort();
      },
    });
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(readdirSync(scratch.path)).toEqual([]);
    await expect(writeDisk(source, scratch.file('no/out.raw'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is not published when a byte changed before it was verified', async () => {
    const { content } = sparseDisk();
    for (const at of [5, 11 * MIB + 5000, 20 * MIB, content.length - 1]) {
      const out = scratch.file('out.raw');
      const verified = writeDisk(sparseDisk().source, out, {
        verify: true,
        onProgress: once('verify', () => {
          const [name = ''] = readdirSync(scratch.path);
          overwrite(scratch.file(name), at, (content[at] as number) ^ 1);
        }),
      });
      await expect(verified).rejects.toMatchObject({ code: 'CORRUPT', where: { offset: at } });
      expect(existsSync(out)).toBe(false);
    }
  });

  it('reports how far it is', async () => {
    const { source, content } = sparseDisk();
    const seen: WriteProgress[] = [];
    await writeDisk(source, scratch.file('o'), { verify: true, onProgress: (p) => seen.push(p) });
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['write', 'verify']));
    expect(seen.every(({ totalBytes }) => totalBytes === content.length)).toBe(true);
  });
});

describe('a disk written to a block device', () => {
  async function onDevice(
    sizeBytes: number,
    body: (device: LoopDevice, old: Uint8Array) => Promise<void>,
  ): Promise<void> {
    const device = await LoopDevice.attach(scratch.file('device'), sizeBytes);
    try {
      const old = randomBytes(sizeBytes, 77);
      writeFileSync(device.path, old);
      await body(device, old);
    } finally {
      await device.detach();
    }
  }

  it('has zeros where the old data would shine through, and leaves what lies behind', async (context) => {
    context.skip(noLoop !== undefined, noLoop);
    const { source, content } = sparseDisk();
    await onDevice(32 * MIB, async (device, old) => {
      await writeDisk(source, device.path, { force: true, verify: true });
      const found = readFileSync(device.path);
      expect(Buffer.compare(found.subarray(0, content.length), content)).toBe(0);
      expect(isAllZero(found.subarray(70_000, 11 * MIB))).toBe(true);
      expect(Buffer.compare(found.subarray(content.length), old.subarray(content.length))).toBe(0);
    });
  });

  it('is refused, and nothing is changed, without being told to', async (context) => {
    context.skip(noLoop !== undefined, noLoop);
    await onDevice(32 * MIB, async (device, old) => {
      await expect(writeDisk(sparseDisk().source, device.path)).rejects.toMatchObject({
        code: 'EXISTS',
      });
      expect(same(device.path, old)).toBe(true);
    });
  });

  it('is refused, and nothing is changed, when the device is too small', async (context) => {
    context.skip(noLoop !== undefined, noLoop);
    await onDevice(30 * MIB, async (device, old) => {
      const small = writeDisk(sparseDisk().source, device.path, { force: true });
      await expect(small).rejects.toMatchObject({ code: 'INVALID' });
      expect(same(device.path, old)).toBe(true);
    });
  });

  it('is refused, and nothing is changed, while the device is in use', async (context) => {
    context.skip(noLoop !== undefined, noLoop);
    await onDevice(32 * MIB, async (device, old) => {
      // A mount holds its device in the same way (open(2), O_EXCL).
      const holder = openSync(device.path, constants.O_RDWR | constants.O_EXCL);
      try {
        const held = writeDisk(sparseDisk().source, device.path, { force: true });
        await expect(held).rejects.toMatchObject({ code: 'BUSY' });
        expect(same(device.path, old)).toBe(true);
      } finally {
        closeSync(holder);
      }
    });
  });

  it('that does not read back the same is reported', async (context) => {
    context.skip(noLoop !== undefined, noLoop);
    const { content } = sparseDisk();
    await onDevice(32 * MIB, async (device) => {
      const at = 20 * MIB + 3;
      const verified = writeDisk(sparseDisk().source, device.path, {
        force: true,
        verify: true,
        onProgress: once('verify', () => overwrite(device.path, at, (content[at] as number) ^ 1)),
      });
      await expect(verified).rejects.toMatchObject({ code: 'CORRUPT', where: { offset: at } });
    });
  });
});

function once(phase: WriteProgress['phase'], act: () => void): (progress: WriteProgress) => void {
  let done = false;
  return (progress) => {
    if (done || progress.phase !== phase) return;
    done = true;
    act();
  };
}

function overwrite(file: string, at: number, byte: number): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Uint8Array.of(byte), 0, 1, at);
  closeSync(descriptor);
}

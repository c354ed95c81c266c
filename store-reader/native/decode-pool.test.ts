import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BytesSource, isRestoreError, readBytes } from '../../core/index.ts';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes } from '../../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../../test/fixtures/repository.ts';
import { resolveDisk } from '../resolve.ts';
import { DecodePool } from './decode-pool.ts';
import type { NativeDisk } from './disk.ts';
import type { BlockReference } from './format.ts';
import { NativeRepository, type OpenOptions } from './repository.ts';

const BLOCK = 65_536;
const CONTENT = randomBytes(BLOCK * 60 + 512, 3);
CONTENT.fill(0, BLOCK * 20, BLOCK * 30);

interface Opened {
  readonly disk: NativeDisk;
  readonly repository: NativeRepository;
}

async function openCaptured(scratch: Scratch, options: OpenOptions): Promise<Opened> {
  const made = await TestRepository.create(scratch);
  await made.capture('m', [new BytesSource(CONTENT)]);
  const repository = await NativeRepository.open(made.location, options);
  const { point, disk } = await resolveDisk(repository, 'm@latest');
  return { repository, disk: repository.openDisk(point, disk) };
}

blockSourceSuite('a native disk with two decoding threads', async () => {
  const own = new Scratch();
  const { repository, disk } = await openCaptured(own, { threads: 2, cacheBytes: 10 * BLOCK });
  let isOpen = true;
  const source = new Proxy(disk, {
    get: (target, key) => {
      if (key === 'close') {
        return async () => {
          if (isOpen) await repository.close();
          isOpen = false;
          own[Symbol.dispose]();
        };
      }
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { source, content: CONTENT };
});

describe('decoding threads', () => {
  let scratch: Scratch;
  const threads: Worker[] = [];
  beforeEach(() => {
    scratch = new Scratch();
    threads.length = 0;
    // What the pool starts is a real thread; this only notes which ones there are.
    const on = Reflect.get(Worker.prototype, 'on') as (...args: unknown[]) => Worker;
    vi.spyOn(Worker.prototype, 'on').mockImplementation(function (this: Worker, ...args) {
      if (!threads.includes(this)) threads.push(this);
      return on.apply(this, args);
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    scratch[Symbol.dispose]();
  });

  it('fail what was in hand when they die, and serve again later', async () => {
    const { repository, disk } = await openCaptured(scratch, { threads: 2, cacheBytes: 1 });
    try {
      await readBytes(disk, 0, BLOCK);
      expect(threads).toHaveLength(2);
      const reads = Array.from({ length: 40 }, (_, turn) =>
        readBytes(disk, (turn % 60) * BLOCK, BLOCK).then(
          (bytes) => Buffer.compare(bytes, CONTENT.subarray(turn * BLOCK, (turn + 1) * BLOCK)),
          (error: unknown) => (isRestoreError(error, 'IO') ? 'failed' : error),
        ),
      );
      await Promise.all(threads.map((thread) => thread.terminate()));
      const outcomes = await Promise.all(reads);
      expect(outcomes.filter((outcome) => outcome !== 0 && outcome !== 'failed')).toEqual([]);
      expect(outcomes).toContain('failed');
      expect(Buffer.compare(await readBytes(disk, 0, CONTENT.length), CONTENT)).toBe(0);
    } finally {
      await repository.close();
    }
  });

  it('never write over a block that somebody still looks at', async () => {
    const { repository, disk } = await openCaptured(scratch, { threads: 2, cacheBytes: 2 * BLOCK });
    try {
      const views = new Map<number, Uint8Array>();
      for (let block = 0; block < 20; block += 3) {
        for (let turn = 0; turn < 4; turn += 1) await readBytes(disk, block * BLOCK, 512);
        const view = disk.peek(block * BLOCK, BLOCK);
        if (view !== undefined) views.set(block, view);
      }
      expect(views.size).toBe(7);
      // Blocks that are only copied from take each other's memory meanwhile.
      for (let turn = 0; turn < 3; turn += 1) {
        expect(Buffer.compare(await readBytes(disk, 0, CONTENT.length), CONTENT)).toBe(0);
      }
      for (const [block, view] of views) {
        const wanted = CONTENT.subarray(block * BLOCK, (block + 1) * BLOCK);
        expect(Buffer.compare(view, wanted)).toBe(0);
      }
    } finally {
      await repository.close();
    }
  });

  it('use their memory again and again, also of blocks that were shown', async () => {
    const { repository, disk } = await openCaptured(scratch, { threads: 1, cacheBytes: 2 * BLOCK });
    const made = vi.spyOn(globalThis, 'SharedArrayBuffer');
    try {
      for (let turn = 0; turn < 4; turn += 1) {
        expect(Buffer.compare(await readBytes(disk, 0, CONTENT.length), CONTENT)).toBe(0);
      }
      for (let block = 0; block < 20; block += 1) {
        for (let turn = 0; turn < 4; turn += 1) await readBytes(disk, block * BLOCK, 512);
        expect(disk.peek(block * BLOCK, 512)).toBeDefined();
      }
      // 220 blocks passed through.
      expect(made.mock.calls.length).toBeGreaterThan(0);
      expect(made.mock.calls.length).toBeLessThan(60);
    } finally {
      await repository.close();
    }
  });

  it('serve what is waited for before what is only read ahead', async () => {
    const { repository, disk } = await openCaptured(scratch, { threads: 1, cacheBytes: 1 });
    const { location } = repository.backend;
    const data = { location, repositoryId: repository.record.id, master: undefined };
    const pool = new DecodePool({ ...data, checkIds: false }, 1, BLOCK);
    try {
      const stored = [...Array(20).keys(), ...Array.from({ length: 30 }, (_, index) => 30 + index)];
      const order: string[] = [];
      const read = async (block: number, isAhead: boolean): Promise<void> => {
        const reference = (await disk.blockEntry(block)) as BlockReference;
        const request = { reference, plainBytes: BLOCK, isPage: false };
        await pool.decode([request], isAhead);
        order.push(`${isAhead ? 'ahead' : 'wanted'} ${block}`);
      };
      const last = stored.at(-1) as number;
      const hastened = (await disk.blockEntry(last)) as BlockReference;
      const reads = stored.slice(1).map((block) => read(block, true));
      reads.push(read(0, false));
      // All have been asked for once their entries are known.
      await readBytes(disk, 0, 512);
      pool.hasten(hastened);
      await Promise.all(reads);
      const place = (what: string): number => order.indexOf(what);
      expect(order).toHaveLength(stored.length);
      expect(place('wanted 0')).toBeLessThan(30);
      expect(place(`ahead ${last}`)).toBeLessThan(30);
    } finally {
      await pool.close();
      await repository.close();
    }
  });

  it('leave no read waiting for ever when the repository is closed', {
    timeout: 5000,
  }, async () => {
    const { repository, disk } = await openCaptured(scratch, { threads: 1, cacheBytes: 1 });
    await readBytes(disk, 0, 512);
    const reads = Array.from({ length: 50 }, (_, turn) =>
      readBytes(disk, turn * BLOCK, BLOCK).then(
        () => 'done',
        (error: unknown) => (isRestoreError(error) ? 'failed' : error),
      ),
    );
    await repository.close();
    const outcomes = new Set(await Promise.all(reads));
    expect([...outcomes].filter((outcome) => outcome !== 'done')).toEqual(['failed']);
    await expect(readBytes(disk, 0, BLOCK)).rejects.toSatisfy((e) => isRestoreError(e));
  });

  it('report damage with the place, as decoding without threads does', async () => {
    const { repository, disk } = await openCaptured(scratch, { threads: 1 });
    try {
      flipByte(largestPack(repository.backend.location), 64 + 100);
      await expect(readBytes(disk, 0, BLOCK)).rejects.toMatchObject({
        code: 'CORRUPT',
        where: { offset: 0 },
        cause: { where: { offset: 64 } },
      });
      expect(
        Buffer.compare(await readBytes(disk, BLOCK, BLOCK), CONTENT.subarray(BLOCK, 2 * BLOCK)),
      ).toBe(0);
    } finally {
      await repository.close();
    }
  });

  it('may be closed at any moment, while the threads still start included', async () => {
    const made = await TestRepository.create(scratch);
    await made.capture('m', [new BytesSource(randomBytes(300_000, 1))]);
    for (let round = 0; round < 16; round += 1) {
      const repository = await NativeRepository.open(made.location, { threads: 2 });
      const { point, disk } = await resolveDisk(repository, 'm@latest');
      const reading = repository.openDisk(point, disk).readInto(new Uint8Array(300_000), 0);
      await setTimeout(round * 12);
      // A thread stopped inside a native library would end this process too.
      await Promise.all([repository.close(), reading.catch(() => undefined)]);
    }
  }, 30_000);
});

function largestPack(location: string): string {
  const files = readdirSync(`${location}/packs`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  return files.toSorted((a, b) => statSync(b).size - statSync(a).size)[0] as string;
}

function flipByte(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ 0xff;
  writeFileSync(file, bytes);
}

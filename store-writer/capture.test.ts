import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BlockSource, BytesSource, isRestoreError } from '../core/index.ts';
import { NativeRepository, type OpenOptions, resolveDisk } from '../store-reader/index.ts';
import { blockSourceSuite } from '../test/conformance/block-source-suite.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import type { InitOptions } from './index.ts';

const BLOCK = 65_536;
const PASSPHRASE = { kind: 'passphrase', passphrase: 'correct horse' } as const;
const KINDS: Record<string, InitOptions> = {
  zstd: {},
  lz4: { codec: 'lz4' },
  'raw, 16 KiB blocks': { codec: 'raw', blockSize: 16_384 },
  'encrypted, 1 MiB blocks': { credentials: [PASSPHRASE], blockSize: 1_048_576 },
};

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

/** Text, noise and zeros in turns, with an odd tail. */
function disk(sizeBytes: number, seed: number): Uint8Array {
  const content = new Uint8Array(sizeBytes);
  const noise = randomBytes(sizeBytes, seed);
  for (let at = 0; at < sizeBytes; at += BLOCK) {
    const turn = (at / BLOCK) % 3;
    const part = noise.subarray(at, Math.min(sizeBytes, at + BLOCK));
    if (turn === 0) content.set(part, at);
    if (turn === 1) content.set(Buffer.alloc(part.length, `line ${at} of a log\n`), at);
  }
  return content;
}

async function readBack(
  repository: TestRepository,
  address: string,
  options: OpenOptions = {},
): Promise<Uint8Array> {
  const open = await NativeRepository.open(repository.location, {
    ...options,
    ...(repository.credential === undefined ? {} : { credential: repository.credential }),
  });
  try {
    const { point, disk: record } = await resolveDisk(open, address);
    const source = open.openDisk(point, record);
    const content = new Uint8Array(source.size);
    await source.readInto(content, 0);
    return content;
  } finally {
    await open.close();
  }
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

for (const [kind, options] of Object.entries(KINDS)) {
  blockSourceSuite(`a native disk (${kind})`, async () => {
    const own = new Scratch();
    const repository = await TestRepository.create(own, options);
    const content = disk(3_000_000 - 512, 5);
    await repository.capture('web01', [new BytesSource(content)]);
    const open = await NativeRepository.open(repository.location, {
      cacheBytes: 1_500_000,
      ...(repository.credential === undefined ? {} : { credential: repository.credential }),
    });
    const { point, disk: record } = await resolveDisk(open, 'web01@latest');
    const source = open.openDisk(point, record);
    const close = async (): Promise<void> => {
      await source.close();
      await open.close();
      own[Symbol.dispose]();
    };
    const sparse = new Proxy(source, {
      get: (target, key) => {
        if (key === 'close') return close;
        const value = Reflect.get(target, key, target) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    return { source: sparse, content };
  });
}

describe('capture', () => {
  it('keeps every point of a changing disk whole', async () => {
    const repository = await TestRepository.create(scratch);
    const states: Uint8Array[] = [disk(40 * BLOCK + 1024, 1)];
    for (let step = 1; step < 4; step += 1) {
      const next = (states.at(-1) as Uint8Array).slice();
      next.set(randomBytes(100_000, 100 + step), step * 300_000);
      next.fill(0, step * 700_000, step * 700_000 + 2 * BLOCK);
      states.push(next);
    }
    const ids: string[] = [];
    for (const state of states) {
      ids.push((await repository.capture('web01', [new BytesSource(state)])).point.id);
    }
    for (const [number, state] of states.entries()) {
      const threads = number % 2;
      const got = await readBack(repository, `web01@${ids[number]}`, { threads });
      expect(sha256(got)).toBe(sha256(state));
    }
  });

  it('stores a second capture of the same disk in next to nothing', async () => {
    const repository = await TestRepository.create(scratch);
    const content = disk(4_000_000, 2);
    const first = await repository.capture('web01', [new BytesSource(content)]);
    const second = await repository.capture('web01', [new BytesSource(content)]);
    expect(first.statistics.newBytes).toBeGreaterThan(2_000_000);
    expect(second.statistics.newBytes).toBe(0);
    expect(second.statistics.writtenBytes).toBeLessThan(4096);
  });

  it('finds the same blocks on another machine and elsewhere on the disk, once each', async () => {
    const repository = await TestRepository.create(scratch);
    const part = randomBytes(8 * BLOCK, 3);
    const twice = Buffer.concat([part, new Uint8Array(BLOCK), part]);
    const first = await repository.capture('a', [new BytesSource(twice)]);
    expect(first.statistics.newBytes).toBe(part.length);
    const second = await repository.capture('b', [new BytesSource(part)]);
    expect(second.statistics.newBytes).toBe(0);
    const lostIndex = await repository.capture('c', [new BytesSource(part)], {
      cache: scratch.file('another-cache'),
    });
    expect(lostIndex.statistics.newBytes).toBe(0);
    expect(sha256(await readBack(repository, 'a@latest'))).toBe(sha256(twice));
    expect(sha256(await readBack(repository, 'c@latest'))).toBe(sha256(part));
  });

  it('reads only the changed ranges when it is given them', async () => {
    const repository = await TestRepository.create(scratch);
    const before = disk(600 * BLOCK, 4);
    await repository.capture('db', [new BytesSource(before)]);
    const after = before.slice();
    after.set(randomBytes(512, 9), 17 * BLOCK + 512);
    after.fill(0, 300 * BLOCK, 301 * BLOCK);
    const changed = [
      { offset: 17 * BLOCK + 512, length: 512 },
      { offset: 300 * BLOCK, length: BLOCK },
    ];
    const { statistics } = await repository.capture('db', [new BytesSource(after)], { changed });
    expect(statistics.readBytes).toBe(2 * BLOCK);
    expect(sha256(await readBack(repository, 'db@latest'))).toBe(sha256(after));
  });

  it('catches a list of changes that left one out', async () => {
    const repository = await TestRepository.create(scratch);
    const before = disk(600 * BLOCK, 4);
    await repository.capture('db', [new BytesSource(before)]);
    const after = before.slice();
    after.set(randomBytes(512, 9), 17 * BLOCK);
    const changed = [{ offset: 0, length: BLOCK }];
    const lying = repository.capture('db', [new BytesSource(after)], {
      changed,
      verifyUnchanged: true,
    });
    await expect(lying).rejects.toThrow(/left out changes.*1114112\+65536/);
    const honest = [...changed, { offset: 17 * BLOCK, length: 512 }];
    await repository.capture('db', [new BytesSource(after)], {
      changed: honest,
      verifyUnchanged: true,
    });
    expect(sha256(await readBack(repository, 'db@latest'))).toBe(sha256(after));
  });

  it('compares with the point that it is told to', async () => {
    const repository = await TestRepository.create(scratch);
    const before = disk(600 * BLOCK, 4);
    const first = await repository.capture('db', [new BytesSource(before)]);
    const other = before.slice();
    other.set(randomBytes(8 * BLOCK, 8), 100 * BLOCK);
    await repository.capture('db', [new BytesSource(other)]);
    const after = before.slice();
    after.set(randomBytes(512, 9), 17 * BLOCK);
    const changed = [{ offset: 17 * BLOCK, length: 512 }];
    const basePointId = first.point.id;
    await repository.capture('db', [new BytesSource(after)], { changed, basePointId });
    expect(sha256(await readBack(repository, 'db@latest'))).toBe(sha256(after));
    const unknown = repository.capture('db', [new BytesSource(after)], {
      changed,
      basePointId: 'ab'.repeat(16),
    });
    await expect(unknown).rejects.toSatisfy((e) => isRestoreError(e, 'NOT_FOUND'));
  });

  it('follows a disk that grows and shrinks across the levels of its map', async () => {
    const repository = await TestRepository.create(scratch, { blockSize: 16_384, codec: 'raw' });
    for (const size of [16_384 * 200, 16_384 * 300 + 512, 16_384 * 100, 512, 16_384 * 257]) {
      const content = disk(size, size);
      await repository.capture('web01', [new BytesSource(content)]);
      expect(sha256(await readBack(repository, 'web01@latest'))).toBe(sha256(content));
    }
  });

  it('captures a disk of zeros and a machine with several disks', async () => {
    const repository = await TestRepository.create(scratch);
    const disks = [disk(BLOCK * 3, 1), new Uint8Array(BLOCK * 1000), disk(512, 2)];
    await repository.capture(
      'm',
      disks.map((content) => new BytesSource(content)),
    );
    for (const [number, content] of disks.entries()) {
      expect(sha256(await readBack(repository, `m@latest/disk${number}`))).toBe(sha256(content));
    }
  });

  it('publishes nothing and leaves nothing when the source fails', async () => {
    const repository = await TestRepository.create(scratch);
    await repository.capture('m', [new BytesSource(disk(BLOCK * 50, 1))]);
    const good = new BytesSource(disk(BLOCK * 400, 2));
    const failing: BlockSource = {
      size: good.size,
      sectorSize: 512,
      readInto: async (target, offset) => {
        if (offset > BLOCK * 200) throw new Error('the cable is out');
        await good.readInto(target, offset);
      },
      peek: () => undefined,
      close: () => good.close(),
    };
    const before = await listing(repository);
    await expect(repository.capture('m', [failing])).rejects.toThrow(/cable/);
    expect(await listing(repository)).toEqual(before);
  });

  it('stops when it is told to, and leaves nothing', async () => {
    const repository = await TestRepository.create(scratch);
    const before = await listing(repository);
    const controller = new AbortController();
    const good = new BytesSource(disk(BLOCK * 400, 2));
    const source: BlockSource = {
      size: good.size,
      sectorSize: 512,
      readInto: async (target, offset) => {
        if (offset > BLOCK * 100) controller.abort();
        await good.readInto(target, offset);
      },
      peek: () => undefined,
      close: () => good.close(),
    };
    const running = repository.capture('m', [source], { signal: controller.signal });
    await expect(running).rejects.toSatisfy((e) => isRestoreError(e, 'CANCELLED'));
    expect(await listing(repository)).toEqual(before);
  });

  it('refuses a second point of one machine at one time', async () => {
    const repository = await TestRepository.create(scratch);
    const takenAt = new Date('2026-05-05T00:00:00Z');
    await repository.capture('m', [new BytesSource(disk(512, 1))], { takenAt });
    const again = repository.capture('m', [new BytesSource(disk(512, 2))], { takenAt });
    await expect(again).rejects.toSatisfy((e) => isRestoreError(e, 'EXISTS'));
  });

  it('lets several writers publish at once, none lost', async () => {
    const repository = await TestRepository.create(scratch);
    const machines = Array.from({ length: 6 }, (_, number) => `m${number}`);
    await Promise.all(
      machines.map((machine, number) =>
        repository.capture(machine, [new BytesSource(disk(BLOCK * 9, number))]),
      ),
    );
    for (const [number, machine] of machines.entries()) {
      const got = await readBack(repository, `${machine}@latest`);
      expect(sha256(got)).toBe(sha256(disk(BLOCK * 9, number)));
    }
  });

  it('opens with the right key alone', async () => {
    const repository = await TestRepository.create(scratch, { credentials: [PASSPHRASE] });
    const credential = { kind: 'passphrase', passphrase: 'wrong' } as const;
    await expect(NativeRepository.open(repository.location, { credential })).rejects.toSatisfy(
      (e) => isRestoreError(e, 'WRONG_KEY'),
    );
    await expect(NativeRepository.open(repository.location)).rejects.toThrow(/no key was given/);
  });
});

async function listing(repository: TestRepository): Promise<string[]> {
  const { readdir } = await import('node:fs/promises');
  const entries = await readdir(repository.location, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .sort();
}

/**
 * What the product writes, read by a second reader that was written from the document alone
 * (repository-reader.py), and compared with the bytes that were captured.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import type { Credential } from '../../store-reader/index.ts';
import type { InitOptions } from '../../store-writer/index.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch, TestRepository } from '../fixtures/repository.ts';
import { type RunResult, run } from '../fixtures/tools/index.ts';

const READER = path.join(import.meta.dirname, 'repository-reader.py');
const PYTHON = '/usr/bin/python3';
const KIB16 = 16 * 1024;

const PASSPHRASE: Credential = { kind: 'passphrase', passphrase: 'Schöner Schlüssel №1' };
const KEY_FILE: Credential = { kind: 'key-file', content: randomBytes(64, 99) };

interface DigestRow {
  readonly machine: string;
  readonly takenAt: string;
  readonly disk: string;
  readonly sizeBytes: number;
  readonly levels: number;
  readonly sha256: string;
}

let missing: string | undefined;
beforeAll(async () => {
  missing = await whatIsMissing();
});

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

describe('a second reader, written from docs/formats/repository.md,', () => {
  const kinds: Record<string, { init: InitOptions; options?: (scratch: Scratch) => string[] }> = {
    'zstd, 64 KiB blocks': { init: {} },
    'zstd level 9, 16 KiB blocks': { init: { level: 9, blockSize: KIB16 } },
    'lz4, 16 KiB blocks': { init: { codec: 'lz4', blockSize: KIB16 } },
    'raw, 1 MiB blocks': { init: { codec: 'raw', blockSize: 1024 * 1024 } },
    'encrypted, passphrase': {
      init: { credentials: [PASSPHRASE], blockSize: KIB16 },
      options: () => ['--passphrase', 'Scho\u0308ner Schlu\u0308ssel №1'],
    },
    'encrypted, key file, lz4': {
      init: { credentials: [KEY_FILE], codec: 'lz4' },
      options: keyFileOption,
    },
    'encrypted, the second of two keys': {
      init: { credentials: [KEY_FILE, PASSPHRASE] },
      options: () => ['--passphrase', 'Schöner Schlüssel №1'],
    },
  };
  for (const [name, { init, options }] of Object.entries(kinds)) {
    it(`reads the captured bytes: ${name}`, async (context) => {
      context.skip(missing !== undefined, missing);
      const repository = await TestRepository.create(scratch, init);
      const blockSize = init.blockSize ?? 65_536;
      const truth = new Map<string, string>();
      // More than one leaf where blocks are small enough for that to be cheap.
      const blocks = blockSize > 65_536 ? 60 : 300;
      let state = mixedDisk(blockSize * blocks + 512, blockSize, 7);
      for (let step = 0; step < 3; step += 1) {
        await captureInto(repository, truth, 'web01', [state, mixedDisk(512, blockSize, step)]);
        state = state.slice();
        state.set(randomBytes(3 * blockSize, step), (step + 1) * 10 * blockSize - 700);
        state.fill(0, step * 12 * blockSize, (step * 12 + 4) * blockSize);
      }
      await captureInto(repository, truth, 'sql-02', [state]);
      expect(await digestsOf(repository, options?.(scratch))).toEqual(truth);
    });
  }

  it('reads a map of one, two and three levels, of disks that grow and shrink', async (context) => {
    context.skip(missing !== undefined, missing);
    const repository = await TestRepository.create(scratch, { blockSize: KIB16 });
    const truth = new Map<string, string>();
    const levels: number[] = [];
    // 256 blocks fill one leaf, 65,536 blocks two levels.
    for (const blocks of [1, 255.5, 256, 256.03125, 700, 65_536.03125, 300, 2]) {
      const content = new Uint8Array(KIB16 * blocks);
      const head = content.subarray(0, KIB16 * 300);
      head.set(mixedDisk(head.length, KIB16, 5));
      content.set(randomBytes(512, blocks), content.length - 512);
      await captureInto(repository, truth, 'grows', [content]);
      levels.push(blocks > 65_536 ? 3 : blocks > 256 ? 2 : 1);
    }
    const rows = await digestRows(repository);
    expect(keyed(rows)).toEqual(truth);
    expect(rows.map((row) => row.levels)).toEqual(levels);
  });

  it('reads a disk of zeros, an empty repository and a machine with many disks', async (context) => {
    context.skip(missing !== undefined, missing);
    const repository = await TestRepository.create(scratch);
    expect(await digestsOf(repository)).toEqual(new Map());
    const truth = new Map<string, string>();
    const disks = Array.from({ length: 9 }, (_, seed) =>
      mixedDisk(65_536 * seed + 512, 65_536, seed),
    );
    disks.push(new Uint8Array(5_000_192));
    await captureInto(repository, truth, 'many', disks);
    expect(await digestsOf(repository)).toEqual(truth);
  });

  it('follows a chain of commits over its checkpoint', async (context) => {
    context.skip(missing !== undefined, missing);
    const repository = await TestRepository.create(scratch, { blockSize: KIB16 });
    const truth = new Map<string, string>();
    let state = mixedDisk(KIB16 * 40, KIB16, 3);
    for (let step = 0; step < 67; step += 1) {
      state = state.slice();
      state.set(randomBytes(100, step), (step % 40) * KIB16 + step);
      await captureInto(repository, truth, `m${step % 3}`, [state]);
    }
    expect(await digestsOf(repository)).toEqual(truth);
  });

  it('writes a disk as a raw file, holes as holes', async (context) => {
    context.skip(missing !== undefined, missing);
    const repository = await TestRepository.create(scratch);
    const content = new Uint8Array(20_000_256);
    content.set(randomBytes(100_000, 1), 3_000_000);
    const { point } = await repository.capture('m', [new BytesSource(content)]);
    const out = scratch.file('out.raw');
    await reader(repository, ['restore', point.id, 'disk0', out]);
    expect(sha256(readFileSync(out))).toBe(sha256(content));
    expect(statSync(out).blocks * 512).toBeLessThan(1_000_000);
  });

  it('reads metadata as it was given', async (context) => {
    context.skip(missing !== undefined, missing);
    const repository = await TestRepository.create(scratch, { credentials: [KEY_FILE] });
    await repository.capture('m', [new BytesSource(randomBytes(512, 1))], {
      takenAt: new Date('2026-11-03T22:00:00.123Z'),
      consistency: 'application',
      archived: true,
      tags: { ticket: 'ÄÖ 7', empty: '' },
      configuration: { name: 'vm.xml', content: '<domain>\n</domain>\n' },
    });
    const { stdout } = await reader(repository, ['points'], keyFileOption(scratch));
    expect(JSON.parse(stdout)).toMatchObject([
      {
        machine: 'm',
        takenAt: '2026-11-03T22:00:00.123Z',
        consistency: 'application',
        archived: true,
        tags: { ticket: 'ÄÖ 7', empty: '' },
        configuration: { name: 'vm.xml', content: '<domain>\n</domain>\n' },
        disks: [
          { id: 'disk0', name: 'source0', sourceFormat: 'raw', sizeBytes: 512, sectorSize: 512 },
        ],
      },
    ]);
  });
});

describe('the second reader as a judge', () => {
  // A referee that finds nothing wrong with anything would prove nothing.
  for (const folder of ['repository.json', 'commits', 'points', 'packs']) {
    it(`notices any changed byte of ${folder}`, async (context) => {
      context.skip(missing !== undefined, missing);
      const repository = await TestRepository.create(scratch, { blockSize: KIB16 });
      for (const seed of [1, 2]) {
        await repository.capture('m', [new BytesSource(mixedDisk(KIB16 * 5, KIB16, seed))]);
      }
      for (const file of filesUnder(path.join(repository.location, folder))) {
        const sound = readFileSync(file);
        for (const at of [0, 41, sound.length >> 1, sound.length - 60, sound.length - 10]) {
          if (at < 0 || at >= sound.length) continue;
          const damaged = Buffer.from(sound);
          damaged[at] = (damaged[at] as number) ^ 0x10;
          writeFileSync(file, damaged);
          const { exitCode } = await reader(repository, ['digests'], [], [0, 1]);
          expect({ file, at, exitCode }).toEqual({ file, at, exitCode: 1 });
        }
        writeFileSync(file, sound);
      }
      const { exitCode } = await reader(repository, ['digests']);
      expect(exitCode).toBe(0);
    });
  }
});

/** Text, noise, zeros and repeats in turns, with whatever tail the size leaves. */
function mixedDisk(sizeBytes: number, blockSize: number, seed: number): Uint8Array {
  const content = new Uint8Array(sizeBytes);
  const noise = randomBytes(sizeBytes, seed);
  for (let at = 0; at < sizeBytes; at += blockSize) {
    const turn = (at / blockSize) % 4;
    const part = noise.subarray(at, Math.min(sizeBytes, at + blockSize));
    if (turn === 0) content.set(part, at);
    if (turn === 1) content.set(Buffer.alloc(part.length, `line ${at} of ${seed}\n`), at);
    if (turn === 3) content.set(noise.subarray(0, part.length), at);
  }
  return content;
}

async function captureInto(
  repository: TestRepository,
  truth: Map<string, string>,
  machine: string,
  disks: readonly Uint8Array[],
): Promise<void> {
  const sources = disks.map((content) => new BytesSource(content));
  const { point } = await repository.capture(machine, sources);
  disks.forEach((content, number) => {
    const key = `${machine}@${point.takenAt}/disk${number}`;
    truth.set(key, `${content.length} ${sha256(content)}`);
  });
}

function keyFileOption(place: Scratch): string[] {
  const file = place.file('key');
  if (KEY_FILE.kind === 'key-file') writeFileSync(file, KEY_FILE.content);
  return ['--key-file', file];
}

function reader(
  repository: TestRepository,
  command: readonly string[],
  options: readonly string[] = [],
  accept: readonly number[] = [0],
): Promise<RunResult> {
  return run(PYTHON, [READER, repository.location, ...options, ...command], { accept });
}

async function digestRows(
  repository: TestRepository,
  options: readonly string[] = [],
): Promise<DigestRow[]> {
  const { stdout } = await reader(repository, ['digests'], options);
  return JSON.parse(stdout) as DigestRow[];
}

async function digestsOf(
  repository: TestRepository,
  options: readonly string[] = [],
): Promise<Map<string, string>> {
  return keyed(await digestRows(repository, options));
}

function keyed(rows: readonly DigestRow[]): Map<string, string> {
  return new Map(
    rows.map(({ machine, takenAt, disk, sizeBytes, sha256: digest }) => [
      `${machine}@${takenAt}/${disk}`,
      `${sizeBytes} ${digest}`,
    ]),
  );
}

function filesUnder(place: string): string[] {
  if (statSync(place).isFile()) return [place];
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

async function whatIsMissing(): Promise<string | undefined> {
  if (!existsSync(PYTHON)) return `${PYTHON} not installed`;
  const modules = 'import zstandard, lz4.block, cryptography.hazmat.primitives.ciphers.aead';
  const { exitCode } = await run(PYTHON, ['-c', modules], { accept: [0, 1] });
  return exitCode === 0 ? undefined : 'python3-zstandard, -lz4 or -cryptography not installed';
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/**
 * Damaged NTFS volumes: an error of ours or files, never a crash, a hang, or memory without end.
 *
 * REHYDRATE_FUZZ_SEED replays a run, REHYDRATE_FUZZ_ROUNDS makes it longer.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { missingForNtfs } from '../fixtures/file-systems/index.ts';
import { NtfsScratch } from '../fixtures/file-systems/ntfs-scratch.ts';
import { readAll, type ReadAllResult } from '../fixtures/file-systems/read-all.ts';
import { seededRandom } from '../fixtures/random.ts';
import { damageNtfs, makeNtfsSeeds, type NtfsSeed } from './ntfs-seeds.ts';

const reason = missingForNtfs('ntfsinfo');
const SEED = Number(process.env['REHYDRATE_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env['REHYDRATE_FUZZ_ROUNDS'] ?? 2000);
const ROUND_LIMIT_MS = 5000;
const MEMORY_LIMIT_BYTES = 512 * 1024 * 1024;
const LIMITS = { contentBytes: 16 * 1024 * 1024, entries: 2000 };

describe(`hostile NTFS, seed ${SEED}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  let seeds: NtfsSeed[];
  beforeAll(async () => {
    if (scratch !== undefined) seeds = await makeNtfsSeeds(scratch.folder);
  }, 60_000);
  afterAll(() => scratch?.remove());
  beforeEach((context) => context.skip(scratch === undefined, reason));

  it('is read whole while it is sound', { timeout: 60_000 }, async () => {
    for (const { name, image, entries } of seeds) {
      const { errors, ...read } = await use(image);
      expect({ name, entries: read.entries }).toEqual({ name, entries });
      // Files whose content is elsewhere are refused, and nothing but them.
      expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['UNSUPPORTED']));
    }
  });

  it('gives an error of ours or files for any damage', { timeout: 600_000 }, async () => {
    const memoryBefore = process.memoryUsage().rss;
    let opened = 0;
    let partial = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const seed = seeds[round % seeds.length] as NtfsSeed;
      const where = `seed ${SEED}, round ${round}, ${seed.name}`;
      const startedMs = performance.now();
      try {
        const { errors } = await use(damageNtfs(seed, seededRandom(SEED + round)));
        opened += 1;
        if (errors.some(({ code }) => code === 'CORRUPT')) partial += 1;
      } catch (error) {
        if (!isRestoreError(error)) throw new Error(where, { cause: error });
      }
      const tookMs = performance.now() - startedMs;
      expect(tookMs, `${where}: took too long`).toBeLessThan(ROUND_LIMIT_MS);
    }
    expect(process.memoryUsage().rss - memoryBefore).toBeLessThan(MEMORY_LIMIT_BYTES);
    // Damage that never gets past the boot sector, or never shows, would prove little.
    expect(opened).toBeGreaterThan(ROUNDS / 2);
    expect(partial).toBeGreaterThan(ROUNDS / 20);
  });
});

async function use(image: Buffer): Promise<ReadAllResult> {
  const fileSystem = await openFileSystem(new BytesSource(image));
  try {
    return await readAll(fileSystem, LIMITS);
  } finally {
    await fileSystem.close();
  }
}

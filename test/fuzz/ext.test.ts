/**
 * Damaged ext volumes: a right answer, a typed error, or a part that says that it is one.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { readAll } from '../fixtures/file-systems/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../golden/image-support.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { type ExtSeed, makeExtSeeds } from './ext-seeds.ts';
import { show, type Shown } from './ext-shown.ts';

const reason = missingTool('mke2fs', 'debugfs', 'e2fsck');
const ROUNDS = roundsOf(5000);
const READ_LIMITS = { contentBytes: 8 * 1024 * 1024, entries: 2000 };
const BYTES_CHANGED_MAX = 16;

describe(`damaged ext, seed ${SEED}`, () => {
  let folder: string;
  let seeds: ExtSeed[];
  beforeAll(async () => {
    if (reason !== undefined) return;
    folder = await temporaryFolder();
    seeds = await makeExtSeeds(folder);
  });
  afterAll(async () => {
    if (folder !== undefined) await removeFolder(folder);
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('gives typed errors, in time', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    let opened = 0;
    const seedOf = (round: number): ExtSeed => seeds[round % seeds.length] as ExtSeed;
    const campaign = { parser: 'ext', rounds: ROUNDS, name: (round: number) => seedOf(round).name };
    await runCampaign(campaign, async (round, random) => {
      await damaged(seedOf(round), random, async (bytes) => {
        const fileSystem = await openFileSystem(new BytesSource(bytes));
        opened += 1;
        await readAll(fileSystem, READ_LIMITS);
      });
    });
    // Damage that never gets past the superblock would prove little.
    expect(opened).toBeGreaterThan(ROUNDS / 2);
  });

  it(
    'shows of a summed volume what is right, or says what is missing',
    async () => {
      const summed = seeds.filter(({ isSummed }) => isSummed);
      const whole = new Map<string, Shown>();
      for (const seed of summed) {
        const shown = await show(seed.bytes);
        expect(shown.saysSo).toBe(false);
        expect(shown.files.size).toBeGreaterThan(50);
        whole.set(seed.name, shown);
      }
      let partial = 0;
      const rounds = Math.ceil(ROUNDS / 3);
      const seedOf = (round: number): ExtSeed => summed[round % summed.length] as ExtSeed;
      const name = (round: number): string => seedOf(round).name;
      await runCampaign({ parser: 'ext', rounds, salt: 1, name }, async (round, random, where) => {
        const right = whole.get(name(round)) as Shown;
        await damaged(seedOf(round), random, async (bytes) => {
          const shown = await show(bytes);
          const wrong = [...shown.files].filter(([path, file]) => right.files.get(path) !== file);
          // Without sums nothing can be checked: that is said, and what is shown is shown as it is.
          if (shown.hasLostChecksums)
            expect({ where, saysSo: shown.saysSo }).toEqual({ where, saysSo: true });
          else expect({ where, wrong }).toEqual({ where, wrong: [] });
          if (shown.files.size < right.files.size) {
            partial += 1;
            expect({ where, saysSo: shown.saysSo }).toEqual({ where, saysSo: true });
          }
        });
      });
      expect(partial).toBeGreaterThan(rounds / 10);
    },
    FUZZ_TIMEOUT_MS,
  );
});

/** Changes up to 16 bytes of metadata while `use` runs. */
async function damaged(
  { bytes, metadata }: ExtSeed,
  random: () => number,
  use: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const before: [offset: number, byte: number][] = [];
  const first = Math.floor(random() * metadata.length);
  const isNear = random() < 0.5;
  const count = 1 + Math.floor(random() * BYTES_CHANGED_MAX);
  for (let index = 0; index < count; index += 1) {
    const chosen = isNear ? first + Math.floor(random() * 32) : random() * metadata.length;
    const offset = metadata[Math.floor(chosen) % metadata.length] as number;
    before.push([offset, bytes[offset] as number]);
    bytes[offset] =
      random() < 0.3 ? random() * 256 : (bytes[offset] as number) ^ (1 << (random() * 8));
  }
  try {
    await use(bytes);
  } finally {
    for (const [offset, byte] of before.toReversed()) bytes[offset] = byte;
  }
}

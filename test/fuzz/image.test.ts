/**
 * Damaged and truncated images: an error of ours or a disk, never a crash, a hang, or memory without
 * end; and a truncated image never reads as anything but what was there.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isRestoreError, type SparseSource } from '../../core/index.ts';
import { type OpenImage, openImage } from '../../parsers/index.ts';
import { missingTool, removeFolder, temporaryFolder } from '../golden/image-support.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { damage, makeSeeds, memoryFiles, type Seed } from './image-seeds.ts';

const reason = missingTool('qemu-img', 'qemu-io');
const ROUNDS = roundsOf(3000);
const EXTENT_COUNT_LIMIT = 5000;

describe(`hostile images, seed ${SEED}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let folder: string;
  let seeds: Seed[];
  beforeAll(async () => {
    if (reason !== undefined) return;
    folder = await temporaryFolder();
    seeds = await makeSeeds(folder);
  });
  afterAll(async () => {
    if (folder !== undefined) await removeFolder(folder);
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  const seedOf = (round: number): Seed => seeds[round % seeds.length] as Seed;
  const name = (round: number): string => seedOf(round).name;

  it('gives an error of ours or a disk for any damage', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    let opened = 0;
    await runCampaign({ parser: 'image', rounds: ROUNDS, name }, async (round, random) => {
      const seed = seedOf(round);
      const image = damage(seed.files[seed.target] as Uint8Array, random);
      const open = await openImage(seed.name, memoryFiles(seed, image));
      opened += 1;
      await exercise(open, random);
    });
    // Damage that never gets past the header would prove little.
    expect(opened).toBeGreaterThan(ROUNDS / 10);
  });

  it('reads a truncated image right or not at all', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const originals = new Map<string, Uint8Array>();
    let refused = 0;
    const rounds = Math.ceil(ROUNDS / 5);
    await runCampaign({ parser: 'image', rounds, salt: 1, name }, async (round, random) => {
      const seed = seedOf(round);
      const whole = seed.files[seed.target] as Uint8Array;
      const original = originals.get(seed.name) ?? (await readAll(seed, whole));
      originals.set(seed.name, original);
      const sectors = Math.floor(whole.length / 512);
      const length =
        random() < 0.5 ? Math.floor(random() * whole.length) : 512 * Math.floor(random() * sectors);
      const where = `${seed.name} cut to ${length} bytes`;
      try {
        const open = await openImage(seed.name, memoryFiles(seed, whole.subarray(0, length)));
        expect({ where, size: open.source.size }).toEqual({ where, size: original.byteLength });
        refused += await comparePieces(open.source, original, where);
      } catch (error) {
        if (!isRestoreError(error)) throw error;
        if (error.code !== 'CORRUPT' && error.code !== 'INVALID') {
          throw new Error(where, { cause: error });
        }
        refused += 1;
      }
    });
    expect(refused).toBeGreaterThan(rounds / 2);
  });
});

/** Reads the start, the end, random ranges, several at once, and the extents. */
async function exercise({ source }: OpenImage, random: () => number): Promise<void> {
  const lengths = [4096, 300_000, 1 + Math.floor(random() * 100_000)];
  const reads = lengths.flatMap((wanted) => {
    const length = Math.min(wanted, source.size);
    const offsets = [0, source.size - length, Math.floor(random() * (source.size - length + 1))];
    return offsets.map((offset) => source.readInto(new Uint8Array(length), offset));
  });
  let count = 0;
  const listing = (async () => {
    for await (const extent of source.extents(0, source.size)) {
      expect(extent.offset + extent.length).toBeLessThanOrEqual(source.size);
      count += 1;
      if (count > EXTENT_COUNT_LIMIT) break;
    }
  })();
  const results = await Promise.allSettled([...reads, listing]);
  await source.close();
  for (const result of results) {
    if (result.status === 'rejected' && !isRestoreError(result.reason)) throw result.reason;
  }
}

async function readAll(seed: Seed, image: Uint8Array): Promise<Uint8Array> {
  const { source } = await openImage(seed.name, memoryFiles(seed, image));
  const content = new Uint8Array(source.size);
  await source.readInto(content, 0);
  return content;
}

/** How many pieces could not be read. All others must be right. */
async function comparePieces(
  source: SparseSource,
  original: Uint8Array,
  where: string,
): Promise<number> {
  let refused = 0;
  const step = 32 * 1024;
  for (let offset = 0; offset < source.size; offset += step) {
    const piece = Buffer.alloc(Math.min(step, source.size - offset));
    try {
      await source.readInto(piece, offset);
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      refused += 1;
      continue;
    }
    const right = piece.equals(original.subarray(offset, offset + piece.length));
    expect(right, `${where}: ${piece.length} bytes at ${offset}`).toBe(true);
  }
  return refused;
}

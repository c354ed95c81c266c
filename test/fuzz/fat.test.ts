/**
 * Damaged FAT, exFAT and ISO 9660 volumes: an error of ours or files, never a crash, a hang, a walk
 * without end, or memory without end.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, type FileSystem, isRestoreError, type NodeId } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { missingTool, removeFolder, temporaryFolder } from '../golden/image-support.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { damage, exfatSeeds, fatSeeds, isoSeeds, type Seed } from './fat-seeds.ts';

const ROUNDS = roundsOf(6000);
const ENTRIES_MAX = 100_000;
const READ_BYTES = 32 * 1024;

const folder = await temporaryFolder();
const withoutLoop =
  missingTool('mkfs.exfat', 'mount.exfat-fuse') ??
  (await LoopDevice.missing(path.join(folder, 'probe')));
afterAll(async () => {
  await removeFolder(folder);
});

const KINDS = [
  { kind: 'FAT', reason: missingTool('mkfs.fat', 'mcopy'), make: fatSeeds },
  { kind: 'exFAT', reason: withoutLoop, make: exfatSeeds },
  { kind: 'ISO 9660', reason: missingTool('genisoimage', 'xorriso'), make: isoSeeds },
];

describe.each(KINDS)(`hostile $kind, seed ${SEED}`, ({ kind, reason, make }) => {
  let seeds: Seed[];
  beforeAll(async () => {
    if (reason === undefined) seeds = await make(folder);
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('gives an error of ours or files for any damage', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const rounds = Math.ceil(ROUNDS / KINDS.length);
    let listed = 0;
    const seedOf = (round: number): Seed => seeds[round % seeds.length] as Seed;
    const campaign = { parser: kind, rounds, name: (round: number) => seedOf(round).name };
    await runCampaign(campaign, async (round, random) => {
      const seed = seedOf(round);
      const restore = damage(seed, random);
      try {
        const fileSystem = await openFileSystem(new BytesSource(seed.image));
        if ((await exercise(fileSystem, random)) > 0) listed += 1;
      } finally {
        restore();
      }
    });
    // Damage that never gets past the boot sector would prove little.
    expect(listed).toBeGreaterThan(rounds / 2);
  });
});

/** Walks the whole tree, reads the head and the tail of every file; tells how many entries there were. */
async function exercise(fileSystem: FileSystem, random: () => number): Promise<number> {
  const waiting: NodeId[] = [fileSystem.root];
  let count = 0;
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const directory = node;
    await tolerating(async () => {
      for await (const batch of fileSystem.list(directory, { attributes: random() < 0.5 })) {
        for (const entry of batch) {
          count += 1;
          if (count > ENTRIES_MAX) throw new Error('the walk does not end');
          if (entry.kind === 'directory') waiting.push(entry.node);
          else await tolerating(() => readSome(fileSystem, entry.node));
        }
      }
    });
    await tolerating(() => fileSystem.lookup(directory, 'tree'));
  }
  return count;
}

async function readSome(fileSystem: FileSystem, node: NodeId): Promise<void> {
  const { kind } = await fileSystem.stat(node);
  if (kind === 'symlink') await fileSystem.readLink(node);
  if (kind !== 'file') return;
  const source = await fileSystem.open(node);
  const length = Math.min(READ_BYTES, source.size);
  await tolerating(() => source.readInto(new Uint8Array(length), 0));
  await source.readInto(new Uint8Array(length), source.size - length);
}

async function tolerating(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isRestoreError(error)) throw error;
  }
}

/**
 * Hostile partition tables, volume groups and signatures: volumes, findings or an error of ours; never a
 * crash, a hang, or a volume outside its disks.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { findVolumes, type MachineVolumes } from '../../parsers/index.ts';
import { missingTool } from '../golden/image-support.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { lvmDisk, lvmText, type MachineSeed, makeMachines } from './volumes-seeds.ts';

const reason = missingTool('sgdisk', 'sfdisk', 'mkfs.ext4');
const ROUNDS = roundsOf(2000);
/** Values that checks tend to miss. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x30, 0x39, 0x22, 0x7b, 0x7d];

describe(`hostile volumes, seed ${SEED}${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let seeds: MachineSeed[];
  beforeAll(async () => {
    if (reason === undefined) seeds = await makeMachines();
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  const seedOf = (round: number): MachineSeed => seeds[round % seeds.length] as MachineSeed;
  const name = (round: number): string => seedOf(round).name;

  it('gives volumes, findings or an error of ours for any damage', {
    timeout: FUZZ_TIMEOUT_MS,
  }, async () => {
    const counts = { volumes: 0, refused: 0, findings: 0 };
    const campaign = { parser: 'volumes', rounds: ROUNDS, name };
    await runCampaign(campaign, async (round, random, where) => {
      try {
        const machine = await damaged(seedOf(round), random, where);
        counts.volumes += machine.volumes.length;
        counts.findings += machine.disks.flatMap(({ findings }) => findings).length;
        counts.refused += await exercise(machine, where);
      } catch (cause) {
        // Not even a typed one: damage to one volume must not hide the others.
        throw new Error('the machine was not shown', { cause });
      }
    });
    // Damage that never gets past the tables, or never breaks them, would prove little.
    expect(counts.volumes).toBeGreaterThan(ROUNDS / 2);
    expect(counts.findings + counts.refused).toBeGreaterThan(ROUNDS / 10);
  });

  const text = lvmText();
  it.each([
    ['sections in sections without end', 'a {\n'.repeat(500_000)],
    ['a list without end', `vg {\nid = [${'1,'.repeat(1_000_000)}`],
    ['blanks', `${' '.repeat(4_000_000)}}`],
    ['comments', `${'#\n'.repeat(2_000_000)}}`],
    ['a text that does not end', `vg {\nid = "${'a'.repeat(4_000_000)}`],
    ['backslashes', `vg {\nid = "${'\\'.repeat(4_000_000)}`],
    ['digits', `vg {\nseqno = ${'9'.repeat(2_000_000)}\n}`],
    ['a name without end', `${'v'.repeat(4_000_000)} {\n}`],
    ['segments beyond number', text.replace(/segment_count = 1/, 'segment_count = 4294967296')],
    ['extents beyond number', text.replace(/extent_count = 1/, 'extent_count = 9007199254740991')],
    ['extents of no size', text.replace(/extent_size = \d+/, 'extent_size = 0')],
    ['a volume called like a path', text.replace('one {', '../../etc {')],
    ['a stripe on itself', text.replace('"pv0", 0', '"one", 0')],
    ['no stripes', text.replace('"pv0", 0', '')],
    ['a stripe beyond the disk', text.replace('"pv0", 0', '"pv0", 1000000000000')],
  ])('is not drowned in %s', { timeout: 60_000 }, async (_, bomb) => {
    const startedMs = performance.now();
    const machine = await findVolumes([{ id: 'disk0', source: new BytesSource(lvmDisk(bomb)) }]);
    const found = [...machine.groups, ...machine.volumes].flatMap(({ findings }) => findings);
    expect(found).not.toEqual([]);
    for (const volume of machine.volumes) {
      const { id } = volume;
      if (id.startsWith('disk0/')) continue;
      expect(id).toMatch(/^vg\/(one|two)$/);
      if (id === 'vg/one')
        expect(() => volume.open()).toThrow(expect.objectContaining({ name: 'RestoreError' }));
    }
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });

  it('lists a crowd of volumes and looks at some of them', { timeout: 120_000 }, async () => {
    const startedMs = performance.now();
    const disk = Buffer.concat([lvmDisk(crowded(text, 10_000)), Buffer.alloc(16 * 1024 * 1024)]);
    const { groups } = await findVolumes([{ id: 'disk0', source: new BytesSource(disk) }]);
    expect(groups[0]?.volumes).toHaveLength(10_002);
    expect(groups[0]?.volumes.at(-1)?.findings[0]?.message).toContain('too many volumes');
    expect(performance.now() - startedMs).toBeLessThan(30_000);
  });
});

/** A group of so many volumes, each of one extent, after the first. */
function crowded(text: string, count: number): string {
  const [, first = ''] = /logical_volumes \{\s*(one \{.*?\n\}\n)\s*two \{/s.exec(text) ?? [];
  const copies = Array.from({ length: count }, (_, index) =>
    first.replace('one {', `many${index} {`),
  );
  return text.replace('two {', () => `${copies.join('')}two {`);
}

/** Looks at a copy in which some bytes are others. */
async function damaged(
  seed: MachineSeed,
  random: () => number,
  where: string,
): Promise<MachineVolumes> {
  const below = (limit: number): number => Math.floor(random() * limit);
  const disk = Buffer.from(seed.disks[0] as Buffer);
  for (let count = 1 + below(8); count > 0; count -= 1) {
    const target = seed.targets[below(seed.targets.length)] as MachineSeed['targets'][number];
    const at = target.offset + below(target.length);
    disk[at] = random() < 0.5 ? (EDGES[below(EDGES.length)] as number) : below(256);
  }
  if (random() < 0.75) seed.seal(disk);
  const bytes = random() < 0.1 ? disk.subarray(0, 512 * below(disk.length / 512)) : disk;
  const disks = [bytes, ...seed.disks.slice(1)].map((each, index) => ({
    ...{ id: `disk${index}`, source: new BytesSource(each, random() < 0.1 ? 4096 : 512) },
  }));
  const machine = await findVolumes(disks);
  const ids = machine.volumes.map(({ id }) => id);
  expect({ where, unique: new Set(ids).size }).toEqual({ where, unique: ids.length });
  return machine;
}

/** How many volumes are refused. The others must have their length, and be there to the last byte. */
async function exercise({ volumes }: MachineVolumes, where: string): Promise<number> {
  let refused = 0;
  for (const volume of volumes) {
    try {
      const source = volume.open();
      expect({ where, size: source.size }).toEqual({ where, size: volume.length });
      const length = Math.min(4096, source.size);
      await source.readInto(new Uint8Array(length), 0);
      await source.readInto(new Uint8Array(length), source.size - length);
      await source.close();
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
      refused += 1;
    }
  }
  return refused;
}

import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, type Fault, faulty, isRestoreError } from '../../core/index.ts';
import { findTool } from '../../test/fixtures/tools/index.ts';
import { makeMachines, type MachineSeed } from '../../test/fuzz/volumes-seeds.ts';
import { findVolumes } from './find-volumes.ts';
import type { DiskVolumes } from './model.ts';

const missing = ['sgdisk', 'sfdisk', 'mkfs.ext4'].find((tool) => findTool(tool) === undefined);
const SECTOR = 512;
let gpt: MachineSeed;
beforeAll(async () => {
  if (missing === undefined) [gpt] = (await makeMachines()) as [MachineSeed, ...MachineSeed[]];
});
beforeEach((context) => context.skip(missing !== undefined, `${missing} is not installed`));

async function withFault(fault: Fault): Promise<DiskVolumes> {
  const source = faulty(new BytesSource(gpt.disks[0] as Buffer), [fault]);
  const { disks } = await findVolumes([{ id: 'disk0', source }]);
  return disks[0] as DiskVolumes;
}

/** Where sgdisk puts partition 1. */
const FIRST = { offset: 2048 * SECTOR, length: SECTOR };

describe('a disk of which something cannot be read', () => {
  it('lists its other volumes, and says which it is', async () => {
    const { volumes } = await withFault({ range: FIRST, code: 'CORRUPT' });
    expect(volumes.map(({ id, content }) => [id, content.kind])).toEqual([
      ['disk0/p1', 'unreadable'],
      ['disk0/p2', 'empty'],
    ]);
    expect(volumes[0]?.findings).not.toEqual([]);
  });

  it.each([
    ['boot record', 0],
    ['primary GPT', SECTOR],
    ['primary entries', 2 * SECTOR],
  ])('keeps its table without its %s', async (_, offset) => {
    const disk = await withFault({ range: { offset, length: SECTOR }, code: 'CORRUPT' });
    expect(disk).toMatchObject({ table: 'gpt', volumes: [{ number: 1 }, { number: 2 }] });
    expect(disk.findings).not.toEqual([]);
  });

  it('is no disk without volumes when the storage fails', async () => {
    await expect(withFault({ range: FIRST, code: 'IO' })).rejects.toSatisfy((error) =>
      isRestoreError(error, 'IO'),
    );
  });
});

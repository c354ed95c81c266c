/** Disks of which a part cannot be read, laid out by hand as UEFI 2.10, sections 5.2 and 5.3, has it. */
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BytesSource, type Extent, faulty } from '../../core/index.ts';
import { readPartitionTable } from './table.ts';

const SECTOR_BYTES = 512;
const SECTORS = 2048;
const STORE_BLOCK_BYTES = 65_536;
const ENTRIES_SECTORS = 32;

/** The boot record alone. */
function diskWith(type: number): Buffer {
  const disk = Buffer.alloc(SECTORS * SECTOR_BYTES);
  disk.writeUInt16LE(0xaa55, 510);
  disk[446 + 4] = type;
  disk.writeUInt32LE(type === 0xee ? 1 : 256, 446 + 8);
  disk.writeUInt32LE(type === 0xee ? SECTORS - 1 : 512, 446 + 12);
  return disk;
}

/** With one partition of sectors 256 to 767. */
function gptDisk(): Buffer {
  const disk = diskWith(0xee);
  const entries = Buffer.alloc(ENTRIES_SECTORS * SECTOR_BYTES);
  entries.fill(0x11, 0, 16).fill(0x22, 16, 32);
  entries.writeBigUInt64LE(256n, 32);
  entries.writeBigUInt64LE(767n, 40);
  const last = SECTORS - 1;
  addCopy(disk, entries, { header: 1, other: last, array: 2 });
  addCopy(disk, entries, { header: last, other: 1, array: last - ENTRIES_SECTORS });
  return disk;
}

function addCopy(
  disk: Buffer,
  entries: Buffer,
  { header, other, array }: Record<'header' | 'other' | 'array', number>,
): void {
  entries.copy(disk, array * SECTOR_BYTES);
  const sector = disk.subarray(header * SECTOR_BYTES, header * SECTOR_BYTES + 92);
  sector.write('EFI PART', 'latin1');
  sector.writeUInt32LE(0x1_0000, 8);
  sector.writeUInt32LE(92, 12);
  sector.writeBigUInt64LE(BigInt(header), 24);
  sector.writeBigUInt64LE(BigInt(other), 32);
  sector.fill(0x33, 56, 72);
  sector.writeBigUInt64LE(BigInt(array), 72);
  sector.writeUInt32LE(128, 80);
  sector.writeUInt32LE(128, 84);
  sector.writeUInt32LE(crc32(entries), 88);
  sector.writeUInt32LE(crc32(sector), 16);
}

const read = (disk: Buffer, ...ranges: readonly Extent[]): ReturnType<typeof readPartitionTable> =>
  readPartitionTable(
    faulty(
      new BytesSource(disk),
      ranges.map((range) => ({ range, code: 'CORRUPT' })),
    ),
  );

const BOOT_RECORD = { offset: 0, length: SECTOR_BYTES };
const SECOND_SECTOR = { offset: SECTOR_BYTES, length: SECTOR_BYTES };
const FIRST_BLOCK = { offset: 0, length: STORE_BLOCK_BYTES };
const LAST_BLOCK = {
  offset: SECTORS * SECTOR_BYTES - STORE_BLOCK_BYTES,
  length: STORE_BLOCK_BYTES,
};

describe('a GPT disk', () => {
  it.each([
    ['all of it', []],
    ['all but the boot record', [BOOT_RECORD]],
    ['all but the primary header', [SECOND_SECTOR]],
    ['all but the first block', [FIRST_BLOCK]],
    ['all but the last block', [LAST_BLOCK]],
  ])('shows its partition when %s can be read', async (_, ranges) => {
    const table = await read(gptDisk(), ...ranges);
    const found = table?.partitions.map(({ number, offset, length }) => [number, offset, length]);
    expect(table?.kind).toBe('gpt');
    expect(found).toEqual([[1, 256 * SECTOR_BYTES, 512 * SECTOR_BYTES]]);
    expect(table?.findings.length === 0).toBe(ranges.length === 0);
    expect(table?.isFaint).toBe(ranges.includes(FIRST_BLOCK));
  });

  it('is no disk without a table when neither copy can be read', async () => {
    await expect(read(gptDisk(), FIRST_BLOCK, LAST_BLOCK)).rejects.toMatchObject({
      code: 'CORRUPT',
    });
  });
});

describe('a disk with a boot record alone', () => {
  it.each([
    ['its second sector', SECOND_SECTOR],
    ['what follows the second sector', { offset: 1024, length: 16_384 }],
    ['its last block', LAST_BLOCK],
  ])('keeps its partition when %s cannot be read', async (_, range) => {
    const table = await read(diskWith(0x83), range);
    expect(table?.kind).toBe('mbr');
    expect(table?.partitions).toHaveLength(1);
  });

  it('is no GPT when its first block cannot be read', async () => {
    await expect(read(diskWith(0x83), FIRST_BLOCK)).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});

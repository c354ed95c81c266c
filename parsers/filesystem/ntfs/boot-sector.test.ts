import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../../core/index.ts';
import { parseBootSector } from './boot-sector.ts';

interface Fields {
  readonly sectorBytes: number;
  readonly perCluster: number;
  readonly perRecord: number;
  readonly mft: bigint;
}

function sector(fields: Partial<Fields> = {}): Uint8Array {
  const { sectorBytes, perCluster, perRecord, mft } = {
    sectorBytes: 512,
    perCluster: 8,
    perRecord: 0xf6,
    mft: 4n,
    ...fields,
  };
  const bytes = Buffer.alloc(512);
  bytes.write('NTFS    ', 3, 'latin1');
  bytes.writeUInt16LE(sectorBytes, 11);
  bytes.writeUInt8(perCluster, 13);
  bytes.writeBigUInt64LE(1n << 33n, 40);
  bytes.writeBigUInt64LE(mft, 48);
  bytes.writeBigUInt64LE(2n, 56);
  bytes.writeUInt8(perRecord, 64);
  bytes.writeUInt8(1, 68);
  bytes.writeBigUInt64LE(0x0123_4567_89ab_cdefn, 72);
  return bytes;
}

describe('the boot sector', () => {
  it.each([
    [512, 1, 512],
    [512, 8, 4096],
    [512, 128, 65_536],
    [512, 0xf8, 131_072],
    [512, 0xf4, 2_097_152],
    [4096, 1, 4096],
    [4096, 0xf7, 2_097_152],
  ])('has sectors of %i and clusters coded %i of %i bytes', (sectorBytes, perCluster, expected) => {
    expect(parseBootSector(sector({ sectorBytes, perCluster })).clusterBytes).toBe(expected);
  });

  it.each([
    [0xf6, 8, 1024],
    [0xf4, 8, 4096],
    [1, 8, 4096],
    [2, 1, 1024],
  ])(
    'has records coded %i in clusters of %i sectors of %i bytes',
    (perRecord, perCluster, bytes) => {
      expect(parseBootSector(sector({ perRecord, perCluster })).recordBytes).toBe(bytes);
    },
  );

  it('has a serial number as blkid prints it', () => {
    expect(parseBootSector(sector()).serial).toBe('0123456789ABCDEF');
  });

  it.each([
    ['no sector size', { sectorBytes: 0 }],
    ['a sector size that is none', { sectorBytes: 513 }],
    ['no clusters', { perCluster: 0 }],
    ['clusters of three sectors', { perCluster: 3 }],
    ['clusters above 2 MiB', { perCluster: 0xf3 }],
    ['records of 64 KiB', { perRecord: 0xf0 }],
    ['records of 2^128 bytes', { perRecord: 0x80 }],
    ['an MFT where the boot sector is', { mft: 0n }],
    ['an MFT behind the end', { mft: 1n << 40n }],
    ['an MFT beyond all numbers', { mft: 1n << 63n }],
  ])('is damaged with %s', (_, fields) => {
    expect(() => parseBootSector(sector(fields))).toThrow(
      expect.toSatisfy((error) => isRestoreError(error, 'CORRUPT')),
    );
  });
});

/** Small machines in memory, and ways to damage them, checksums put right again where that gets further. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { type LvmLayout, lvmHeader } from '../fixtures/disks/lvm2-writer.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { MIB } from '../golden/image-support.ts';

export interface MachineSeed {
  readonly name: string;
  readonly disks: readonly Buffer[];
  /** Where damage is worth while: ranges of the first disk. */
  readonly targets: readonly { readonly offset: number; readonly length: number }[];
  /** Puts checksums right in the first disk. */
  readonly seal: (disk: Buffer) => void;
}

const SECTOR = 512;
const GPT_ARRAY_BYTES = 128 * 128;
const METADATA_AT = 4096;
const TEXT_AT = METADATA_AT + SECTOR;
const LVM: LvmLayout = {
  ...{ seed: 'fuzz', volumeGroup: 'vg', sizeBytes: 9 * MIB, createdMs: 0, hostname: 'host' },
  volumes: [
    { name: 'one', segments: [{ startExtent: 0, extentCount: 1 }] },
    { name: 'two', segments: [{ startExtent: 1, extentCount: 1 }] },
  ],
};

export async function makeMachines(): Promise<MachineSeed[]> {
  const scratch = new Scratch();
  try {
    return [await gptSeed(scratch), await mbrSeed(scratch), lvmSeed(), await volumeSeed(scratch)];
  } finally {
    scratch[Symbol.dispose]();
  }
}

/** An LVM physical volume with this metadata text, its checksums right. */
export function lvmDisk(text?: string): Buffer {
  const disk = Buffer.alloc(text === undefined ? LVM.sizeBytes : MIB + 2 * Buffer.byteLength(text));
  lvmHeader(LVM).copy(disk);
  if (text === undefined) return disk;
  const size = disk.length - METADATA_AT - SECTOR;
  disk.writeBigUInt64LE(BigInt(size), METADATA_AT + 32);
  disk.writeBigUInt64LE(BigInt(size), SECTOR + 32 + 40 + 2 * 16 + 8);
  disk.write(text, TEXT_AT);
  disk.writeBigUInt64LE(BigInt(Buffer.byteLength(text)), METADATA_AT + 48);
  sealLvm(disk);
  return disk;
}

/** The metadata text that {@link lvmDisk} has without another. */
export function lvmText(): string {
  const disk = lvmHeader(LVM);
  const size = Number(disk.readBigUInt64LE(METADATA_AT + 48));
  return disk.subarray(TEXT_AT, TEXT_AT + size - 1).toString('latin1');
}

async function gptSeed(scratch: Scratch): Promise<MachineSeed> {
  const file = scratch.file('gpt');
  writeFileSync(file, '');
  truncateSync(file, 4 * MIB);
  await run('sgdisk', ['-n', '1:2048:+1M', '-n', '2:0:+1M', '-c', '2:name', file]);
  const disk = readFileSync(file);
  const targets = [
    { offset: 446, length: 66 },
    { offset: SECTOR, length: 92 },
    { offset: 2 * SECTOR, length: 512 },
    { offset: disk.length - 33 * SECTOR, length: 512 },
    { offset: disk.length - SECTOR, length: 92 },
  ];
  return { name: 'gpt', disks: [disk], targets, seal: sealGpt };
}

async function mbrSeed(scratch: Scratch): Promise<MachineSeed> {
  const file = scratch.file('mbr');
  writeFileSync(file, '');
  truncateSync(file, 4 * MIB);
  const logical = [64, 1024, 2048].map(
    (start, index) => `${5 + index}: start=${1088 + start}, size=512`,
  );
  const script = [
    'label: dos',
    '1: start=64, size=512',
    '2: start=1088, size=6000, type=5',
    ...logical,
  ];
  await run('sfdisk', ['--quiet', '--force', file], { input: script.join('\n') });
  const disk = readFileSync(file);
  const records: { offset: number; length: number }[] = [{ offset: 440, length: 72 }];
  for (let at = SECTOR; at < disk.length; at += SECTOR) {
    if (disk.readUInt16LE(at + 510) === 0xaa55) records.push({ offset: at + 446, length: 66 });
  }
  return { name: 'mbr', disks: [disk], targets: records, seal: () => {} };
}

function lvmSeed(): MachineSeed {
  const targets = [
    { offset: SECTOR, length: 256 },
    { offset: METADATA_AT, length: 80 },
    { offset: TEXT_AT, length: lvmText().length },
    { offset: TEXT_AT, length: lvmText().length },
  ];
  return { name: 'lvm', disks: [lvmDisk()], targets, seal: sealLvm };
}

/** Bare volumes: whatever marks there are, next to each other. */
async function volumeSeed(scratch: Scratch): Promise<MachineSeed> {
  const file = scratch.file('volume');
  writeFileSync(file, '');
  truncateSync(file, 4 * MIB);
  await run('mkfs.ext4', ['-q', '-F', file]);
  const disk = readFileSync(file);
  return {
    name: 'volume',
    disks: [disk],
    targets: [{ offset: 0, length: 70_000 }],
    seal: () => {},
  };
}

function sealGpt(disk: Buffer): void {
  const last = disk.length - SECTOR;
  for (const [header, array] of [
    [SECTOR, 2 * SECTOR],
    [last, last - GPT_ARRAY_BYTES],
  ] as const) {
    disk.writeUInt32LE(crc32(disk.subarray(array, array + GPT_ARRAY_BYTES)), header + 88);
    disk.writeUInt32LE(0, header + 16);
    disk.writeUInt32LE(crc32(disk.subarray(header, header + 92)), header + 16);
  }
}

function sealLvm(disk: Buffer): void {
  const size = Math.min(
    Number(disk.readBigUInt64LE(METADATA_AT + 48) & 0xffff_ffffn),
    disk.length - TEXT_AT,
  );
  disk.writeUInt32LE(lvmCrc(disk.subarray(TEXT_AT, TEXT_AT + size)), METADATA_AT + 56);
  disk.writeUInt32LE(lvmCrc(disk.subarray(METADATA_AT + 4, METADATA_AT + SECTOR)), METADATA_AT);
  disk.writeUInt32LE(lvmCrc(disk.subarray(SECTOR + 20, 2 * SECTOR)), SECTOR + 16);
}

function lvmCrc(data: Uint8Array): number {
  return ~crc32(data, ~0xf597a6cf >>> 0) >>> 0;
}

/** Small images of every format, in memory, and ways to damage them. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BytesSource, type FileOpener, RestoreError, slice } from '../../core/index.ts';
import { run } from '../fixtures/tools/index.ts';
import {
  buildDifferencingVhd,
  buildVhdx,
  vhdChecksum,
  vhdxChecksum,
} from '../golden/image-build.ts';
import { makeRaw, MIB, qemuIo } from '../golden/image-support.ts';

export interface Seed {
  /** The image to open, and the files it stands on. */
  readonly name: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** The file that is damaged. */
  readonly target: string;
}

const QEMU_SEEDS: readonly { name: string; format: string; options: string; compress?: boolean }[] =
  [
    { name: 'plain.qcow2', format: 'qcow2', options: 'cluster_size=4k' },
    { name: 'extended.qcow2', format: 'qcow2', options: 'extended_l2=on,cluster_size=16k' },
    { name: 'deflate.qcow2', format: 'qcow2', options: 'cluster_size=64k', compress: true },
    { name: 'zstd.qcow2', format: 'qcow2', options: 'compression_type=zstd', compress: true },
    { name: 'v2.qcow2', format: 'qcow2', options: 'compat=0.10' },
    { name: 'sparse.vmdk', format: 'vmdk', options: 'subformat=monolithicSparse' },
    { name: 'stream.vmdk', format: 'vmdk', options: 'subformat=streamOptimized' },
    { name: 'flat.vmdk', format: 'vmdk', options: 'subformat=monolithicFlat' },
    { name: 'dynamic.vhd', format: 'vpc', options: 'subformat=dynamic,force_size=on' },
    { name: 'fixed.vhd', format: 'vpc', options: 'subformat=fixed,force_size=on' },
    { name: 'dynamic.vhdx', format: 'vhdx', options: 'subformat=dynamic,block_size=1M' },
  ];

export async function makeSeeds(folder: string): Promise<Seed[]> {
  const sizeBytes = 2 * MIB + 512;
  const raw = path.join(folder, 'content.raw');
  await makeRaw(raw, sizeBytes, 1);
  for (const { name, format, options, compress } of QEMU_SEEDS) {
    const flags = [...(compress === true ? ['-c'] : []), '-O', format, '-o', options];
    await run('qemu-img', ['convert', ...flags, raw, path.join(folder, name)]);
  }
  const overlay = path.join(folder, 'overlay.qcow2');
  const backing = ['-b', 'plain.qcow2', '-F', 'qcow2'];
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, overlay], { cwd: folder });
  await qemuIo('qcow2', overlay, ['write -P 7 1M 200k', 'write -z 0 64k']);
  const expected = Buffer.alloc(4 * MIB);
  const dynamic = path.join(folder, 'dynamic.vhd');
  const vhd = { sizeBytes: 4 * MIB, seed: 3, parentName: 'dynamic.vhd', expected };
  await buildDifferencingVhd(path.join(folder, 'child.vhd'), dynamic, vhd);
  const parent = { file: path.join(folder, 'dynamic.vhdx'), name: 'dynamic.vhdx' };
  const vhdx = {
    sizeBytes: 3 * MIB,
    seed: 4,
    sectorSize: 512,
    blockBytes: MIB,
    expected,
    parent,
  } as const;
  await buildVhdx(path.join(folder, 'child.vhdx'), vhdx);
  const files: Record<string, Uint8Array> = {};
  for (const name of await readdir(folder)) files[name] = await readFile(path.join(folder, name));
  const names = [...QEMU_SEEDS.map(({ name }) => name), 'overlay.qcow2', 'child.vhd', 'child.vhdx'];
  return names.map((name) => ({ name, files, target: name }));
}

/** The files of a seed, its target replaced. */
export function memoryFiles(seed: Seed, target: Uint8Array): FileOpener {
  return {
    async open(name) {
      const data = name === seed.target ? target : seed.files[name];
      if (data === undefined) {
        throw new RestoreError('NOT_FOUND', 'there is no such file', { where: { object: name } });
      }
      return slice(new BytesSource(data), 0, data.byteLength);
    },
    resolve: (_, reference) => path.posix.normalize(reference),
  };
}

const INTERESTING = [
  0, 1, 2, 7, 0x7f, 0xff, 0x200, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
] as const;

/** Worked out once an image. */
const SPOTS = new WeakMap<Uint8Array, readonly number[]>();

/** A damaged copy: bits flipped, sectors swapped, or fields of headers and tables overwritten. */
export function damage(original: Uint8Array, random: () => number): Uint8Array {
  const image = Buffer.from(original);
  const spots = SPOTS.get(original) ?? metadataSectors(original);
  SPOTS.set(original, spots);
  const pick = (): number => (spots[Math.floor(random() * spots.length)] as number) * 512;
  const count = 1 + Math.floor(random() * 4);
  for (let round = 0; round < count; round += 1) {
    const at = pick() + Math.floor(random() * 128) * 4;
    if (at + 8 > image.length) continue;
    const kind = random();
    if (kind < 0.25) image[at] = (image[at] as number) ^ (1 << Math.floor(random() * 8));
    else if (kind < 0.35) swap(image, pick(), pick());
    else if (kind < 0.65) image.writeUInt32BE(interesting(random), at);
    else if (kind < 0.85) image.writeUInt32LE(interesting(random), at);
    else
      image.writeBigUInt64LE(
        BigInt(Math.floor(random() * 2 ** 53)) << BigInt(Math.floor(random() * 11)),
        at,
      );
  }
  // Most damage to checksummed structures stops at the checksum: let half of it through.
  if (random() < 0.5) repairChecksums(image);
  return image;
}

function interesting(random: () => number): number {
  if (random() < 0.4) return Math.floor(random() * 2 ** 32);
  return INTERESTING[Math.floor(random() * INTERESTING.length)] as number;
}

function swap(image: Buffer, one: number, other: number): void {
  if (Math.max(one, other) + 512 > image.length) return;
  const held = Buffer.from(image.subarray(one, one + 512));
  image.copyWithin(one, other, other + 512);
  held.copy(image, other);
}

/** Where headers and tables are likely: the first and last sectors often, other used ones too. */
function metadataSectors(image: Uint8Array): readonly number[] {
  const sectors: number[] = [];
  const count = Math.floor(image.length / 512);
  for (let sector = 0; sector < count; sector += 1) {
    const first = image.subarray(sector * 512, sector * 512 + 512);
    if (!first.some((byte) => byte !== 0)) continue;
    const weight = sector < 4 || sector >= count - 3 ? 12 : sector % 128 === 0 ? 4 : 1;
    for (let index = 0; index < weight && sectors.length < 4000; index += 1) sectors.push(sector);
  }
  return sectors.length === 0 ? [0] : sectors;
}

function repairChecksums(image: Buffer): void {
  const text = (at: number, length: number): string => image.toString('latin1', at, at + length);
  if (text(0, 8) === 'vhdxfile') {
    for (const at of [65536, 131072]) vhdxChecksum(image.subarray(at, at + 4096));
    for (const at of [196608, 262144]) vhdxChecksum(image.subarray(at, at + 65536));
  }
  for (const at of [0, image.length - 512]) {
    if (at >= 0 && text(at, 8) === 'conectix') vhdChecksum(image.subarray(at, at + 512), 64);
  }
  if (text(512, 8) === 'cxsparse') vhdChecksum(image.subarray(512, 1536), 36);
}

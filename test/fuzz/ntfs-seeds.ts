/** Small NTFS volumes with something of everything, and ways to damage them. */
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { COMPRESSED, sampleMixture, sampleText } from '../fixtures/file-systems/ntfs-content.ts';
import { restartPages } from '../fixtures/file-systems/ntfs-damage.ts';
import {
  extendedAttributesValue,
  REPARSE_CASES,
  reparseValue,
  words,
} from '../fixtures/file-systems/ntfs-links.ts';
import {
  dataAt,
  editStructure,
  lengthAt,
  structuresOf,
} from '../fixtures/file-systems/ntfs-patch.ts';
import { clustersOf } from '../fixtures/file-systems/ntfs-scratch.ts';
import { makeNtfsVolume, setAttribute } from '../fixtures/file-systems/ntfs-volume.ts';

const MIB = 1024 * 1024;

/** A sound volume, and where in it damage tells. */
export interface NtfsSeed {
  readonly name: string;
  readonly image: Buffer;
  /** How many files and directories ntfs-3g sees below the root. */
  readonly entries: number;
  readonly areas: readonly Area[];
}

/** Places of one kind. */
interface Area {
  /** How often it is chosen, against others. */
  readonly weight: number;
  /** Have fixups: records and index blocks. */
  readonly areStructures: boolean;
  readonly places: readonly Place[];
}

interface Place {
  readonly at: number;
  readonly length: number;
}

const FORMATS = {
  'clusters of 4096': { format: [], sizeBytes: 4 * MIB },
  'clusters of 512': { format: ['-c', '512'], sizeBytes: 3 * MIB },
  'sectors of 4096': { format: ['-s', '4096'], sizeBytes: 5 * MIB },
} as const;

export async function makeNtfsSeeds(folder: string): Promise<NtfsSeed[]> {
  const seeds: NtfsSeed[] = [];
  for (const [name, options] of Object.entries(FORMATS)) {
    const imagePath = path.join(folder, `${name.replaceAll(' ', '-')}.ntfs`);
    let packed = 0;
    let entries = 0;
    const mount = ['compression', 'permissions', 'special_files=wsl'];
    await makeNtfsVolume(imagePath, { ...options, mount }, async (mountPoint) => {
      await fill(mountPoint);
      packed = statSync(path.join(mountPoint, 'packed', 'mixed')).ino;
      entries = readdirSync(mountPoint, { recursive: true }).length;
    });
    const clusters = await clustersOf(imagePath, packed);
    const image = readFileSync(imagePath);
    restartPages(2 * MIB, true).copy(image, dataAt(image, LOG_RECORD, ''));
    rmSync(imagePath);
    seeds.push({ name, image, entries, areas: areasOf(image, clusters) });
  }
  return seeds;
}

async function fill(mountPoint: string): Promise<void> {
  const inside = (...names: string[]): string => path.join(mountPoint, ...names);
  mkdirSync(inside('packed'));
  await setAttribute(inside('packed'), 'system.ntfs_attrib_be', COMPRESSED);
  writeFileSync(inside('packed', 'text'), sampleText(40_000));
  writeFileSync(inside('packed', 'mixed'), sampleMixture(230_000));
  mkdirSync(inside('many'));
  for (let index = 0; index < 80; index += 1) {
    writeFileSync(inside('many', `${index}`.padStart(30, 'n')), sampleText(index * 17, index));
  }
  for (let index = 0; index < 12; index += 1) {
    linkSync(inside('packed', 'text'), inside(`link ${index} ${'x'.repeat(150)}`));
    const file = inside(`owned ${index}`);
    writeFileSync(file, '');
    chownSync(file, index, 100 + index);
    chmodSync(file, 0o600 + index);
    await setAttribute(file, 'system.ntfs_dos_name', Buffer.from(`OWNED~${index}`));
  }
  islands(inside('islands'), 200);
  writeFileSync(inside('islands:a stream'), sampleText(9000, 3));
  writeFileSync(inside('many:of a folder'), sampleText(90, 4));
  writeFileSync(inside('grown'), sampleText(5000, 5));
  truncateSync(inside('grown'), 300_000);
  await fillAttributes(inside);
}

/** Every second cluster, so that the map of the file does not fit its record. */
function islands(name: string, count: number): void {
  const file = openSync(name, 'w');
  for (let index = 0; index < count; index += 1) writeSync(file, 'island', index * 8192);
  ftruncateSync(file, count * 8192);
  closeSync(file);
}

async function fillAttributes(inside: (name: string) => string): Promise<void> {
  for (const { name, isFolder, tag, data } of REPARSE_CASES) {
    if (isFolder === true) mkdirSync(inside(name));
    else writeFileSync(inside(name), '');
    await setAttribute(inside(name), 'system.ntfs_reparse_data', reparseValue(tag, data));
  }
  const value = extendedAttributesValue([
    ['$LXUID', words(1000)],
    ['$LXMOD', words(0o100755)],
  ]);
  writeFileSync(inside('wsl'), 'a script');
  await setAttribute(inside('wsl'), 'system.ntfs_ea', value);
}

const LOG_RECORD = 2;
const SECURE_RECORD = 9;
const UPCASE_RECORD = 10;
const SYSTEM_RECORDS = 16;

function areasOf(image: Buffer, packed: readonly (number | undefined)[]): readonly Area[] {
  const clusterBytes = image.readUInt8(13) * image.readUInt16LE(11);
  const area = (weight: number, starts: readonly number[], length: number): Area => {
    return { weight, areStructures: false, places: starts.map((at) => ({ at, length })) };
  };
  const structures = (weight: number, starts: readonly number[]): Area => {
    const places = starts.map((at) => ({ at, length: lengthAt(image, at) }));
    return { weight, areStructures: true, places };
  };
  const records = structuresOf(image, 'FILE');
  const clusters = packed.filter((cluster) => cluster !== undefined);
  return [
    area(4, [0, image.length - 512], 96),
    area(1, [dataAt(image, UPCASE_RECORD, '')], 131_072),
    area(4, [dataAt(image, SECURE_RECORD, '$SDS')], 4096),
    area(1, [dataAt(image, LOG_RECORD, '')], 8192),
    area(
      10,
      clusters.map((cluster) => cluster * clusterBytes),
      clusterBytes,
    ),
    area(10, attributeListsOf(image, clusterBytes), 2048),
    structures(15, records.slice(0, SYSTEM_RECORDS)),
    structures(35, records.slice(SYSTEM_RECORDS)),
    structures(20, structuresOf(image, 'INDX')),
  ];
}

/** Clusters that begin with a list's usual first entry: `$STANDARD_INFORMATION`, 32 bytes long. */
function attributeListsOf(image: Buffer, clusterBytes: number): number[] {
  const found: number[] = [];
  for (let at = 0; at + clusterBytes <= image.length; at += clusterBytes) {
    if (image.readUInt32LE(at) === 0x10 && image.readUInt16LE(at + 4) === 32) found.push(at);
  }
  return found;
}

/** A copy with 1 to 16 bytes changed in one to three places; half of the times with good fixups. */
export function damageNtfs({ image, areas }: NtfsSeed, random: () => number): Buffer {
  const copy = Buffer.from(image);
  for (let count = 1 + Math.floor(random() * 3); count > 0; count -= 1) {
    const { places, areStructures } = pick(areas, random());
    const { at, length } = places[Math.floor(random() * places.length)] as Place;
    if (areStructures && random() < 0.5) {
      editStructure(copy, at, (structure) => change(structure, random));
    } else {
      change(copy.subarray(at, at + length), random);
    }
  }
  return copy;
}

/** A copy with one bit flipped of an index entry's lengths and flags, and with good fixups. */
export function flipIndexBit({ image }: NtfsSeed, random: () => number): Buffer {
  const copy = Buffer.from(image);
  const blocks = structuresOf(image, 'INDX');
  const at = blocks[Math.floor(random() * blocks.length)] as number;
  editStructure(copy, at, (block) => {
    const starts: number[] = [];
    const end = INDEX_HEADER_AT + block.readUInt32LE(INDEX_HEADER_AT + 4);
    let entryAt = INDEX_HEADER_AT + block.readUInt32LE(INDEX_HEADER_AT);
    for (; entryAt + 16 <= end; entryAt += Math.max(16, block.readUInt16LE(entryAt + 8)))
      starts.push(entryAt);
    const start = starts[Math.floor(random() * starts.length)] as number;
    const offset = start + 8 + Math.floor(random() * 5);
    block[offset] = (block[offset] as number) ^ (1 << (random() * 8));
  });
  return copy;
}

/** In an index block; entries, and the bytes in use, are counted from here. */
const INDEX_HEADER_AT = 24;

function pick(areas: readonly Area[], share: number): Area {
  let left = share * areas.reduce((sum, { weight }) => sum + weight, 0);
  const found = areas.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  return found ?? (areas[0] as Area);
}

const INTERESTING = [
  0n,
  1n,
  0x18n,
  0x7fn,
  0x80n,
  0xffn,
  0x200n,
  0x7fffn,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1f_ffff_ffff_ffffn,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
] as const;

function change(bytes: Buffer, random: () => number): void {
  const below = (limit: number): number => Math.floor(random() * limit);
  // Headers lie at the front, and most of what steers a reader with them.
  const at = random() < 0.5 ? below(Math.min(bytes.length, 512)) : below(bytes.length);
  const kind = random();
  if (kind < 0.3) {
    for (let count = 1 + below(16); count > 0; count -= 1) {
      if (at + count <= bytes.length) bytes[at + count - 1] = below(256);
    }
  } else if (kind < 0.5) {
    bytes[at] = (bytes[at] as number) ^ (1 << below(8));
  } else if (kind < 0.85) {
    const width = [1, 2, 4, 8][below(4)] as number;
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(INTERESTING[below(INTERESTING.length)] as bigint);
    value.copy(bytes, at - (at % width), 0, width);
  } else {
    bytes.copyWithin(at, below(bytes.length), below(bytes.length) + 16);
  }
}

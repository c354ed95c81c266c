/** Small FAT, exFAT and ISO 9660 volumes in memory, and ways to damage them. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { makeExfatVolume } from '../fixtures/file-systems/exfat.ts';
import { type FatPlan, makeFatVolume, makeSourceTree } from '../fixtures/file-systems/fat.ts';
import { ISO_PLANS, type IsoPlan, makeIso, makeIsoTree } from '../fixtures/file-systems/iso.ts';

export interface Seed {
  readonly name: string;
  readonly image: Buffer;
  /** Sectors that hold structures rather than file content. */
  readonly sectors: readonly number[];
  /** Makes checksums right again, so that what they guard is reached too. */
  readonly mend?: (image: Buffer, sectors: readonly number[]) => void;
}

/** Files in the fullest directory: enough for several sectors. */
const MANY = 20;
const SECTOR_BYTES = 512;
const ENTRY_BYTES = 32;
/** Content is random: a sector of it has hardly a zero. */
const ZEROS_OF_STRUCTURE = 40;

const FAT_SEEDS: readonly FatPlan[] = [
  { bits: 12, sizeKib: 1440 },
  { bits: 16, sizeKib: 9000, sectorsPerCluster: 4 },
  { bits: 32, sizeKib: 36_000, sectorsPerCluster: 1, label: 'LABEL' },
];

export async function fatSeeds(folder: string): Promise<Seed[]> {
  const tree = path.join(folder, 'fat');
  makeSourceTree(tree, MANY);
  const seeds: Seed[] = [];
  for (const plan of FAT_SEEDS) {
    const image = path.join(folder, `fat${plan.bits}.img`);
    await makeFatVolume(image, plan, tree);
    seeds.push(seedOf(`FAT${plan.bits}`, image));
  }
  return seeds;
}

export async function isoSeeds(folder: string): Promise<Seed[]> {
  const seeds: Seed[] = [];
  for (const index of [1, 2, 3, 6]) {
    const plan = ISO_PLANS[index] as IsoPlan;
    const tree = path.join(folder, `iso ${index}`);
    makeIsoTree(tree, plan.kind, MANY);
    await makeIso(`${tree}.iso`, plan, tree);
    seeds.push(seedOf(plan.name, `${tree}.iso`));
  }
  return seeds;
}

export async function exfatSeeds(folder: string): Promise<Seed[]> {
  const image = path.join(folder, 'exfat.img');
  const plan = {
    sizeBytes: 8 * 1024 * 1024,
    sectorBytes: 512,
    clusterBytes: 512,
    label: 'x',
  } as const;
  await makeExfatVolume(image, plan, MANY);
  const seed = seedOf('exFAT', image);
  return [seed, { ...seed, name: 'exFAT with right checksums', mend: mendExfat }];
}

function seedOf(name: string, file: string): Seed {
  const image = readFileSync(file);
  const sectors: number[] = [];
  for (let sector = 0; sector < image.length / SECTOR_BYTES; sector += 1) {
    const bytes = image.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
    const zeros = bytes.filter((byte) => byte === 0).length;
    if (zeros > ZEROS_OF_STRUCTURE && zeros < SECTOR_BYTES) sectors.push(sector);
  }
  return { name, image, sectors };
}

const VALUES = [
  0, 1, 2, 3, 0x7f, 0x80, 0xff, 0xffff, 0xfff7, 0x7fff_ffff, 0xffff_ffff, 0x0fff_fff8,
];

/** Damages the seed's image in place; what is returned takes the damage back. */
export function damage({ image, sectors, mend }: Seed, random: () => number): () => void {
  const whole = (limit: number): number => Math.floor(random() * limit);
  const kept = new Map<number, Buffer>();
  const touch = (sector: number): number => {
    const at = sector * SECTOR_BYTES;
    const last = Math.min(image.length / SECTOR_BYTES, sector + 2);
    for (let near = sector; near < last; near += 1) {
      const start = near * SECTOR_BYTES;
      if (!kept.has(near)) kept.set(near, Buffer.from(image.subarray(start, start + SECTOR_BYTES)));
    }
    return at;
  };
  for (let count = 1 + whole(8); count > 0; count -= 1) {
    // Where everything else is found comes first, on every kind of volume.
    const index = random() < 0.25 ? whole(Math.min(8, sectors.length)) : whole(sectors.length);
    const at = touch(sectors[index] as number) + whole(SECTOR_BYTES);
    const kind = random();
    if (kind < 0.3) image.writeUInt8(whole(256), at);
    else if (kind < 0.5) image.writeUInt8(image.readUInt8(at) ^ (1 << whole(8)), at);
    else if (kind < 0.75 && at + 4 <= image.length) {
      image.writeUInt32LE(VALUES[whole(VALUES.length)] as number, at);
    } else if (kind < 0.95) {
      const from = (sectors[whole(sectors.length)] as number) * SECTOR_BYTES;
      const entry = whole(SECTOR_BYTES / ENTRY_BYTES) * ENTRY_BYTES;
      image.copy(image, at - (at % ENTRY_BYTES), from + entry, from + entry + ENTRY_BYTES);
    } else image.fill(whole(2) * 0xff, at - (at % SECTOR_BYTES), at);
  }
  if (mend !== undefined) {
    for (const sector of Array.from({ length: 24 }, (_, index) => index)) touch(sector);
    mend(image, [...kept.keys()]);
  }
  return () => {
    for (const [sector, bytes] of kept) bytes.copy(image, sector * SECTOR_BYTES);
  };
}

/** Both boot regions' checksums, and those of the sets that lie in the damaged sectors. */
function mendExfat(image: Buffer, sectors: readonly number[]): void {
  for (const region of [0, 12 * SECTOR_BYTES]) {
    let sum = 0;
    for (let index = 0; index < 11 * SECTOR_BYTES; index += 1) {
      if (index === 106 || index === 107 || index === 112) continue;
      sum = (((sum << 31) | (sum >>> 1)) + image.readUInt8(region + index)) >>> 0;
    }
    for (let index = 0; index < SECTOR_BYTES; index += 4) {
      image.writeUInt32LE(sum, region + 11 * SECTOR_BYTES + index);
    }
  }
  for (const sector of sectors) {
    const end = (sector + 1) * SECTOR_BYTES;
    for (let at = sector * SECTOR_BYTES; at < end; at += ENTRY_BYTES) {
      const stop = at + (1 + image.readUInt8(at + 1)) * ENTRY_BYTES;
      if (image.readUInt8(at) !== 0x85 || stop > end) continue;
      let sum = 0;
      for (let index = at; index < stop; index += 1) {
        if (index - at === 2 || index - at === 3) continue;
        sum = (((sum & 1) << 15) + (sum >> 1) + image.readUInt8(index)) & 0xffff;
      }
      image.writeUInt16LE(sum, at + 2);
    }
  }
}

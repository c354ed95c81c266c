import { isRestoreError, RestoreError } from '../../../core/index.ts';
import { continueCrc16, continueCrc32c, continueWithWord } from './checksum.ts';
import { hasIncompat, hasRoCompat, type Superblock } from './superblock.ts';
import { type ExtVolume, readBlock } from './volume.ts';

/** Kernel documentation, filesystems/ext4, "Block Group Descriptors". */
const BG_INODE_TABLE_LO = 0x8;
const BG_CHECKSUM = 0x1e;
const BG_INODE_TABLE_HI = 0x28;

const TABLES_KEPT_MAX = 1_000_000;

/**
 * Where each group's inodes lie. Descriptors are read when first asked for; one that is damaged is
 * looked for in the copies.
 */
export class GroupTable {
  readonly #volume: ExtVolume;
  readonly #offsets = new Map<number, number>();

  constructor(volume: ExtVolume) {
    this.#volume = volume;
  }

  /** Byte offset of the group's inode table, when it is known already. */
  peekInodeTable(group: number): number | undefined {
    return this.#offsets.get(group);
  }

  /**
   * Byte offset of the group's inode table.
   *
   * @throws RestoreError `CORRUPT` when no copy of the descriptor is sound.
   */
  async inodeTable(group: number, signal?: AbortSignal): Promise<number> {
    const known = this.#offsets.get(group);
    if (known !== undefined) return known;
    const { table: offset } = await this.#find(group, signal);
    if (this.#offsets.size >= TABLES_KEPT_MAX) this.#offsets.clear();
    this.#offsets.set(group, offset);
    return offset;
  }

  /**
   * The group's descriptor.
   *
   * @throws RestoreError `CORRUPT` when no copy of it is sound.
   */
  async descriptor(group: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { descriptor, isProven } = await this.#find(group, signal);
    if (isProven) return descriptor.bytes;
    throw descriptorError(group, descriptor.offset, 'bg_checksum', 'another');
  }

  /**
   * The first copy that is sound. Where all sums are wrong, the first whose table has a place at all
   * is taken when each inode has a sum of its own, number included: a wrong table then reads as
   * damage, never as other files.
   */
  async #find(group: number, signal: AbortSignal | undefined): Promise<FoundDescriptor> {
    const { superblock, health } = this.#volume;
    let damage: RestoreError | undefined;
    let unproven: FoundDescriptor | undefined;
    for (const block of descriptorBlocks(superblock, group)) {
      try {
        const descriptor = await this.#read(group, block, signal);
        const table = tableOf(superblock, group, descriptor);
        if (superblock.hasChecksums) unproven ??= { table, descriptor, isProven: false };
        verify(superblock, group, descriptor);
        if (damage !== undefined) health.damage(damage);
        return { table, descriptor, isProven: true };
      } catch (error) {
        if (!isRestoreError(error, 'CORRUPT')) throw error;
        damage ??= error;
      }
    }
    damage ??= descriptorError(group, 0, 'a descriptor', 'none');
    if (unproven === undefined) throw damage;
    health.damage(damage);
    return unproven;
  }

  async #read(group: number, block: number, signal: AbortSignal | undefined): Promise<Descriptor> {
    const { blockSize, descriptorSize } = this.#volume.superblock;
    const data = await readBlock(this.#volume, block, 'group descriptors', signal);
    const at = (group % Math.floor(blockSize / descriptorSize)) * descriptorSize;
    return { bytes: data.subarray(at, at + descriptorSize), offset: block * blockSize + at };
  }
}

interface Descriptor {
  readonly bytes: Uint8Array;
  /** Where it lies on the volume. */
  readonly offset: number;
}

interface FoundDescriptor {
  readonly descriptor: Descriptor;
  /** Byte offset of the inode table. */
  readonly table: number;
  /** False where its sum is wrong. */
  readonly isProven: boolean;
}

/** Byte offset of the group's inode table. */
function tableOf(superblock: Superblock, group: number, { bytes, offset }: Descriptor): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const high = bytes.byteLength >= 64 ? view.getUint32(BG_INODE_TABLE_HI, true) : 0;
  const table = high * 2 ** 32 + view.getUint32(BG_INODE_TABLE_LO, true);
  const { blockSize, inodeSize, inodesPerGroup } = superblock;
  const blocks = Math.ceil((inodesPerGroup * inodeSize) / blockSize);
  if (table <= superblock.firstDataBlock || table + blocks > superblock.blockCount) {
    const inside = `${blocks} blocks inside the file system`;
    throw descriptorError(group, offset, inside, `bg_inode_table ${table}`);
  }
  return table * blockSize;
}

/** The block that holds a group's descriptor, then those that hold copies of it. */
export function* descriptorBlocks(superblock: Superblock, group: number): Generator<number> {
  const { blockSize, descriptorSize, firstMetaGroup, groupCount } = superblock;
  const perBlock = Math.floor(blockSize / descriptorSize);
  const index = Math.floor(group / perBlock);
  if (!hasIncompat(superblock, 'meta_bg') || index < firstMetaGroup) {
    yield Math.floor(1024 / blockSize) + 1 + index;
    for (const holder of backupGroups(superblock)) {
      yield firstBlockOf(superblock, holder) + 1 + index;
    }
    return;
  }
  const first = perBlock * index;
  for (const holder of [first, first + 1, first + perBlock - 1]) {
    if (holder >= groupCount) break;
    const shifted = blockSize === 1024 && holder === 0 && superblock.firstDataBlock === 0 ? 1 : 0;
    yield firstBlockOf(superblock, holder) + (hasSuperblock(superblock, holder) ? 1 : 0) + shifted;
  }
}

const BACKUPS_TRIED_MAX = 8;

function* backupGroups(superblock: Superblock): Generator<number> {
  let tried = 0;
  for (let group = 1; group < superblock.groupCount && tried < BACKUPS_TRIED_MAX; group += 1) {
    if (group > 1000) return;
    if (!hasSuperblock(superblock, group)) continue;
    tried += 1;
    yield group;
  }
}

export function firstBlockOf(
  { firstDataBlock, blocksPerGroup }: Superblock,
  group: number,
): number {
  return firstDataBlock + group * blocksPerGroup;
}

/** Kernel documentation, filesystems/ext4, "Layout": `sparse_super` and `sparse_super2`. */
export function hasSuperblock(superblock: Superblock, group: number): boolean {
  if (group === 0) return true;
  if ((superblock.compat & 0x200) !== 0) return superblock.backupGroups.includes(group);
  if (group === 1 || !hasRoCompat(superblock, 'sparse_super')) return true;
  return [3, 5, 7].some((base) => isPowerOf(base, group));
}

function isPowerOf(base: number, value: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

function verify(superblock: Superblock, group: number, { bytes, offset }: Descriptor): void {
  const found = (bytes[BG_CHECKSUM] ?? 0) | ((bytes[BG_CHECKSUM + 1] ?? 0) << 8);
  const expected = checksumOf(superblock, group, bytes);
  if (expected === undefined || expected === found) return;
  throw descriptorError(group, offset, `bg_checksum ${expected}`, found);
}

function checksumOf(
  superblock: Superblock,
  group: number,
  descriptor: Uint8Array,
): number | undefined {
  if (superblock.hasChecksums) {
    const zeroed = Uint8Array.from(descriptor);
    zeroed.fill(0, BG_CHECKSUM, BG_CHECKSUM + 2);
    return continueCrc32c(continueWithWord(superblock.checksumSeed, group), zeroed) & 0xffff;
  }
  if (!hasRoCompat(superblock, 'uninit_bg')) return undefined;
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, group, true);
  const head = descriptor.subarray(0, BG_CHECKSUM);
  const sum = continueCrc16(continueCrc16(continueCrc16(0xffff, superblock.uuid), number), head);
  return continueCrc16(sum, descriptor.subarray(BG_CHECKSUM + 2, superblock.descriptorSize));
}

function descriptorError(
  group: number,
  offset: number,
  expected: string,
  found: string | number,
): RestoreError {
  return new RestoreError('CORRUPT', 'a group descriptor is damaged', {
    where: { structure: `descriptor of group ${group}`, offset, expected, found },
  });
}

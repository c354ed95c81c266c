import { RestoreError } from '../../../core/index.ts';
import { GroupTable } from './groups.ts';
import { decodeInode, type Inode } from './inode.ts';
import { type ExtVolume, readWithin } from './volume.ts';

const LINE_BYTES = 64 * 1024;

/** Every inode of the volume, by number. */
export class InodeTable {
  readonly #volume: ExtVolume;
  readonly #groups: GroupTable;

  constructor(volume: ExtVolume) {
    this.#volume = volume;
    this.#groups = new GroupTable(volume);
  }

  /**
   * @throws RestoreError `CORRUPT` when there is no such inode, it is not in use, or is damaged.
   */
  async read(number: number, signal?: AbortSignal): Promise<Inode> {
    const offset = await this.offsetOf(number, signal);
    const { superblock, metadata } = this.#volume;
    const structure = `inode ${number}`;
    const raw = await readWithin(metadata, offset, superblock.inodeSize, structure, signal);
    return decodeInode(superblock, number, raw, offset);
  }

  /** The inode when its record is cached, without a promise. Throws as `read` does. */
  peek(number: number): Inode | undefined {
    const { superblock, metadata } = this.#volume;
    const index = number - 1;
    const { inodesPerGroup, inodeSize } = superblock;
    const table = this.#groups.peekInodeTable(Math.floor(index / inodesPerGroup));
    if (table === undefined || number < 1 || number > superblock.inodeCount) return undefined;
    const offset = table + (index % inodesPerGroup) * inodeSize;
    if (offset + inodeSize > metadata.size) return undefined;
    const raw = metadata.peek(offset, inodeSize);
    return raw === undefined ? undefined : decodeInode(superblock, number, raw, offset);
  }

  /**
   * Reads the table's pieces that hold these inodes at once, in the volume's order. What fails is
   * met again by whoever reads the inode.
   */
  async prefetch(numbers: Iterable<number>, signal?: AbortSignal): Promise<void> {
    const { superblock, metadata } = this.#volume;
    const lines = new Set<number>();
    for (const number of numbers) {
      if (number < 1 || number > superblock.inodeCount) continue;
      const offset = await this.offsetOf(number, signal).catch(() => undefined);
      if (offset === undefined || offset + superblock.inodeSize > metadata.size) continue;
      if (metadata.peek(offset, superblock.inodeSize) === undefined) {
        lines.add(offset - (offset % LINE_BYTES));
      }
    }
    const wanted = [...lines].sort((left, right) => left - right);
    await Promise.allSettled(
      wanted.map((line) => metadata.readInto(new Uint8Array(1), line, signal)),
    );
  }

  /**
   * Where the record lies on the volume, in bytes.
   *
   * @throws RestoreError `CORRUPT` when there is no such inode.
   */
  async offsetOf(number: number, signal?: AbortSignal): Promise<number> {
    const { superblock } = this.#volume;
    if (number < 1 || number > superblock.inodeCount) {
      throw new RestoreError('CORRUPT', 'a reference leads to no inode', {
        where: {
          structure: 'inode number',
          expected: `1 to ${superblock.inodeCount}`,
          found: number,
        },
      });
    }
    const index = number - 1;
    const group = Math.floor(index / superblock.inodesPerGroup);
    const table =
      this.#groups.peekInodeTable(group) ?? (await this.#groups.inodeTable(group, signal));
    return table + (index % superblock.inodesPerGroup) * superblock.inodeSize;
  }
}

import { RestoreError } from '../../../core/index.ts';
import { GroupTable } from './groups.ts';
import { decodeInode, type Inode } from './inode.ts';
import { type ExtVolume, readWithin } from './volume.ts';

/** What the metadata cache reads at once; reads of one piece cost as much as of one inode. */
const PIECE_BYTES = 64 * 1024;
const ROOT_INODE = 2;

/** Something that leads to an inode: an entry of a directory. */
interface Reference {
  readonly inode: number;
}

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

  /**
   * An inode that a directory may name.
   *
   * @throws RestoreError `CORRUPT` when it is one of the file system's own, too.
   */
  async readFile(number: number, signal?: AbortSignal): Promise<Inode> {
    return this.#ofFile(await this.read(number, signal));
  }

  /** As `readFile`, without a promise, when the record is cached. */
  peekFile(number: number): Inode | undefined {
    const { superblock, metadata } = this.#volume;
    const offset = this.#peekOffset(number);
    if (offset === undefined || offset + superblock.inodeSize > metadata.size) return undefined;
    const raw = metadata.peek(offset, superblock.inodeSize);
    if (raw === undefined) return undefined;
    return this.#ofFile(decodeInode(superblock, number, raw, offset));
  }

  /**
   * Reads the table's pieces that hold these inodes at once, in the volume's order. What fails is
   * met again by whoever reads the inode.
   */
  async prefetch(references: readonly Reference[], signal?: AbortSignal): Promise<void> {
    const { superblock, metadata } = this.#volume;
    const pieces = new Set<number>();
    let last = -1;
    for (const { inode } of references) {
      const offset = this.#peekOffset(inode) ?? (await this.#offsetIfAny(inode, signal));
      if (offset === undefined) continue;
      const piece = offset - (offset % PIECE_BYTES);
      if (piece === last || offset + superblock.inodeSize > metadata.size) continue;
      last = piece;
      if (metadata.peek(offset, superblock.inodeSize) === undefined) pieces.add(piece);
    }
    const wanted = [...pieces].sort((left, right) => left - right);
    await Promise.allSettled(
      wanted.map((piece) => metadata.readInto(new Uint8Array(1), piece, signal)),
    );
  }

  /**
   * How far a list in the order of inodes can be read ahead from `start`.
   *
   * @returns the index behind the last reference.
   */
  endOfPieces(
    references: readonly Reference[],
    start: number,
    pieceCountMax: number,
    countMax: number,
  ): number {
    const inodesPerPiece = PIECE_BYTES / this.#volume.superblock.inodeSize;
    const most = Math.min(references.length, start + countMax);
    let pieceCount = 0;
    let last = -1;
    for (let index = start; index < most; index += 1) {
      const piece = Math.floor((references[index] as Reference).inode / inodesPerPiece);
      if (piece === last) continue;
      last = piece;
      pieceCount += 1;
      if (pieceCount > pieceCountMax) return index;
    }
    return most;
  }

  /**
   * Where the record lies on the volume, in bytes.
   *
   * @throws RestoreError `CORRUPT` when there is no such inode.
   */
  async offsetOf(number: number, signal?: AbortSignal): Promise<number> {
    const { superblock } = this.#volume;
    if (number < 1 || number > superblock.inodeCount) {
      throw bad('a reference leads to no inode', `1 to ${superblock.inodeCount}`, number);
    }
    const group = Math.floor((number - 1) / superblock.inodesPerGroup);
    return this.#offsetIn(await this.#groups.inodeTable(group, signal), number);
  }

  #offsetIfAny(number: number, signal: AbortSignal | undefined): Promise<number | undefined> {
    return this.offsetOf(number, signal).catch(() => undefined);
  }

  #peekOffset(number: number): number | undefined {
    const { inodeCount, inodesPerGroup } = this.#volume.superblock;
    if (number < 1 || number > inodeCount) return undefined;
    const table = this.#groups.peekInodeTable(Math.floor((number - 1) / inodesPerGroup));
    return table === undefined ? undefined : this.#offsetIn(table, number);
  }

  #offsetIn(table: number, number: number): number {
    const { inodesPerGroup, inodeSize } = this.#volume.superblock;
    return table + ((number - 1) % inodesPerGroup) * inodeSize;
  }

  #ofFile(inode: Inode): Inode {
    const { number } = inode;
    if (number < this.#volume.superblock.firstInode && number !== ROOT_INODE) {
      throw bad("a directory names one of the file system's own inodes", 'a file', number);
    }
    if (inode.has('ea_inode')) {
      throw bad('a directory names an inode that holds an attribute', 'a file', number);
    }
    return inode;
  }
}

function bad(message: string, expected: string, found: number): RestoreError {
  return new RestoreError('CORRUPT', message, {
    where: { structure: 'inode number', expected, found },
  });
}

import { readBytes, RestoreError, throwIfAborted } from '../../../../core/index.ts';
import { blockMapOf } from '../block-map.ts';
import { inlineRest } from '../xattrs.ts';
import type { Inode } from '../inode.ts';
import { hasIncompat } from '../superblock.ts';
import type { ExtVolume } from '../volume.ts';
import { checkBlockSum, indexCountAt } from './block-check.ts';
import { noKeyNames } from './encrypted-names.ts';
import { addLinks, type Link, type LinkRules, plainName } from './links.ts';

const CHUNK_BYTES = 128 * 1024;
const INLINE_PARENT_BYTES = 4;

/** Reads one directory from its first block to its last. What could not be read is in `damage`. */
export class DirectoryReader {
  /** The first part that could not be read. */
  damage: RestoreError | undefined;
  readonly #volume: ExtVolume;
  readonly #inode: Inode;
  readonly #seed: number;
  readonly #seen = new Set<number>();
  #rules: LinkRules;

  /** @param wanted gives the entries of these inodes alone. */
  constructor(volume: ExtVolume, inode: Inode, wanted?: ReadonlySet<number>) {
    this.#volume = volume;
    this.#inode = inode;
    this.#seed = volume.superblock.hasChecksums ? inode.checksumSeed : 0;
    const isBoth = inode.has('encrypt') && inode.has('casefold');
    this.#rules = {
      directory: inode.number,
      inodeCount: volume.superblock.inodeCount,
      hasTypes: hasIncompat(volume.superblock, 'filetype'),
      trailerBytes: isBoth ? 8 : 0,
      decode: plainName,
      ...(wanted === undefined ? {} : { wanted }),
    };
  }

  /** All entries, in the order in which they are stored. */
  async *links(signal?: AbortSignal): AsyncGenerator<readonly Link[]> {
    throwIfAborted(signal);
    if (this.#inode.has('encrypt')) await this.#showWithoutKey(signal);
    if (this.#inode.has('inline_data')) yield this.#inline();
    else yield* this.#mapped(signal);
  }

  /** The entries of one block, for lookups by hash. */
  linksIn(block: Uint8Array, at: number): readonly Link[] {
    const links: Link[] = [];
    this.#addBlock(block, at, false, links);
    return links;
  }

  #inline(): readonly Link[] {
    const links: Link[] = [];
    const areas = [this.#inode.blockField.subarray(INLINE_PARENT_BYTES)];
    try {
      areas.push(inlineRest(this.#inode));
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      this.#note(error);
    }
    for (const area of areas) {
      if (area.byteLength > 0) this.#note(addLinks(area, this.#rules, 0, links));
    }
    return links;
  }

  async *#mapped(signal: AbortSignal | undefined): AsyncGenerator<readonly Link[]> {
    const map = blockMapOf(this.#volume, this.#inode);
    const { size } = this.#inode;
    for (let at = 0; at < size; ) {
      this.#volume.budget.checkTime();
      const piece = await map.piece(at, signal);
      this.#note(piece.damage);
      let expected = piece.start;
      for (const run of piece.runs) {
        if (run.offset >= size) break;
        if (run.offset > expected) this.#note(this.#hole(expected));
        expected = run.offset + run.length;
        yield* this.#run(run.at, run.offset, Math.min(run.length, size - run.offset), signal);
      }
      if (piece.damage === undefined && expected < Math.min(piece.end, size)) {
        this.#note(this.#hole(expected));
      }
      at = piece.end;
    }
  }

  async *#run(
    start: number,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<readonly Link[]> {
    const { metadata, superblock } = this.#volume;
    const { blockSize } = superblock;
    const end = start + Math.ceil(length / blockSize) * blockSize;
    for (let at = start; at < end; at += CHUNK_BYTES) {
      throwIfAborted(signal);
      const size = Math.min(CHUNK_BYTES, end - at);
      if (at + size > metadata.size) {
        this.#note(this.#bad(at, `a volume of ${at + size} bytes`, `${metadata.size} bytes`));
        return;
      }
      const chunk = metadata.peek(at, size) ?? (await readBytes(metadata, at, size, signal));
      const links: Link[] = [];
      for (let inner = 0; inner < size; inner += blockSize) {
        const block = chunk.subarray(inner, inner + blockSize);
        this.#addBlock(block, at + inner, offset === 0 && at + inner === start, links);
      }
      this.#volume.budget.checkTime();
      if (links.length > 0) yield links;
    }
  }

  #addBlock(block: Uint8Array, at: number, isFirst: boolean, links: Link[]): void {
    if (this.#seen.has(at)) {
      this.#note(this.#bad(at, 'a block of its own', 'one that was read already'));
      return;
    }
    this.#seen.add(at);
    const isIndexed = this.#inode.has('index');
    const countAt = isIndexed ? indexCountAt(block, isFirst) : undefined;
    if (this.#volume.superblock.hasChecksums) {
      const place = { directory: this.#inode.number, offset: at };
      const damage = checkBlockSum(block, countAt, this.#seed, place);
      if (damage !== undefined) {
        // The tree's root holds no entries: without it the directory still reads whole.
        if (countAt !== undefined && isFirst) this.#volume.health.damage(damage);
        else this.#note(damage);
        return;
      }
    }
    if (countAt === undefined) this.#note(addLinks(block, this.#rules, at, links));
  }

  async #showWithoutKey(signal: AbortSignal | undefined): Promise<void> {
    this.#rules = { ...this.#rules, decode: await noKeyNames(this.#volume, this.#inode, signal) };
  }

  #hole(offset: number): RestoreError {
    return this.#bad(offset, 'a block of the directory', 'a hole');
  }

  #note(damage: RestoreError | undefined): void {
    if (damage === undefined) return;
    this.damage ??= damage;
    this.#volume.health.damage(damage);
  }

  #bad(offset: number, expected: string, found: string): RestoreError {
    return new RestoreError('CORRUPT', 'a part of a directory cannot be read', {
      where: { structure: `directory inode ${this.#inode.number}`, offset, expected, found },
    });
  }
}

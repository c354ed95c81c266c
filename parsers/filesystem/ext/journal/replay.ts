import {
  HealthLog,
  isRestoreError,
  type Replacement,
  type Extent,
  RestoreError,
  readBytes,
  replaced,
} from '../../../../core/index.ts';
import type { Volume } from '../../driver.ts';
import {
  parseSuperblock,
  SUPERBLOCK_AT,
  SUPERBLOCK_BYTES,
  type Superblock,
} from '../superblock.ts';
import type { ExtVolume } from '../volume.ts';
import { tagSumHolds } from './checksums.ts';
import { applyFastCommits } from './fast/apply.ts';
import { type FastTag, readFastCommits } from './fast/tags.ts';
import { isLater, JOURNAL_MAGIC, type JournalFormat, parseJournalSuper } from './format.ts';
import type { JournalFile } from './journal-file.ts';
import { locateJournal } from './locate.ts';
import { type Log, type LoggedBlock, readLog } from './log.ts';

/** The volume as it reads after its journal, and what the journal held. */
export interface Replayed {
  /**
   * The volume with every replayed block in its place; the volume itself when there was nothing to
   * replay. Its superblock may be another one: read it anew.
   */
  readonly volume: Volume;
  readonly transactions: number;
  /** Blocks that read otherwise than they lie on the volume. */
  readonly blocks: number;
  /** Where those are, in bytes. */
  readonly places: readonly Extent[];
  /** Copies in the log that a later transaction declared void. */
  readonly revoked: number;
  /** Fast commits that were applied. */
  readonly fastCommits: number;
}

/** What one replaced block costs in tables. */
const BLOCK_HELD_BYTES = 64;

/**
 * Replays the volume's journal in memory, as the kernel and e2fsck do it on disk. To be called
 * before anything but the superblock is believed: descriptors and inodes lie in the journal too.
 *
 * The volume's health becomes `journal replayed`; `stale`, with what was found, where the journal or
 * a part of it cannot be applied: what then can be, is, as e2fsck does.
 *
 * @throws RestoreError `IO`, `LIMIT`, `CANCELLED`; damage is told in the volume's health.
 */
export async function replayJournal(volume: Volume, superblock: Superblock): Promise<Replayed> {
  const nothing: Replayed = {
    volume,
    transactions: 0,
    blocks: 0,
    places: [],
    revoked: 0,
    fastCommits: 0,
  };
  if (superblock.journal === undefined) {
    if (superblock.needsRecovery) volume.health.note('stale', { message: NO_JOURNAL });
    return nothing;
  }
  const isExpected = isDirty(superblock);
  // A sum guards the flag; without one, a single bit would hide all that the journal holds.
  if (!isExpected && superblock.hasChecksums) return nothing;
  try {
    // The health of what is read before the replay is no matter: it may be about to be mended.
    const before: ExtVolume = { ...volume, superblock, health: new HealthLog() };
    const file = await locateJournal(before, superblock.journal);
    const format = parseJournalSuper(await file.read(0), file.blockSize, file.length);
    if (format.start === 0) return nothing;
    if (!isExpected) {
      volume.health.note('stale', { message: UNASKED, where: { structure: 's_feature_incompat' } });
      return nothing;
    }
    return await new Replay(before, volume.health, file, format).run(volume);
  } catch (error) {
    if (!isOfTheVolume(error)) throw error;
    if (!isExpected) return nothing;
    volume.health.note('stale', {
      message: `${NOT_REPLAYED}: ${error.message}`,
      where: error.where,
    });
    return nothing;
  }
}

const NO_JOURNAL = 'the volume asks for its journal to be replayed, and has none';
const UNASKED =
  'the journal holds changes and the superblock says that none are to be replayed: the last changes may be missing';
const NOT_REPLAYED =
  'the volume was in use and its journal could not be replayed: the last changes may be missing or half done';

/**
 * Copies of the superblock are not updated when a volume is mounted: read by one of them, the
 * journal alone tells whether it is to be replayed.
 */
function isDirty(superblock: Superblock): boolean {
  return superblock.needsRecovery || superblock.offset !== SUPERBLOCK_AT;
}

/** Not of the storage below, nor of the caller's limits. */
function isOfTheVolume(error: unknown): error is RestoreError {
  return isRestoreError(error, 'CORRUPT') || isRestoreError(error, 'UNSUPPORTED');
}

class Replay {
  readonly #volume: ExtVolume;
  readonly #health: HealthLog;
  readonly #file: JournalFile;
  readonly #format: JournalFormat;
  readonly #blocks = new Map<number, Replacement>();
  #revoked = 0;

  constructor(volume: ExtVolume, health: HealthLog, file: JournalFile, format: JournalFormat) {
    this.#volume = volume;
    this.#health = health;
    this.#file = file;
    this.#format = format;
  }

  async run(volume: Volume): Promise<Replayed> {
    const log = await readLog(this.#file, this.#format);
    for (const logged of log.blocks) await this.#apply(logged, log);
    if (log.lost !== undefined) this.#stale(log.lost);
    const fastCommits = await this.#applyFast(log.endSequence);
    this.#tell(log.transactions, fastCommits);
    return {
      volume: this.#overlay(volume),
      transactions: log.transactions,
      blocks: this.#blocks.size,
      places: this.#places(),
      revoked: this.#revoked,
      fastCommits,
    };
  }

  #places(): Extent[] {
    const { blockSize } = this.#format;
    return [...this.#blocks.keys()].map((block) => ({
      offset: block * blockSize,
      length: blockSize,
    }));
  }

  #tell(transactions: number, fastCommits: number): void {
    if (this.#format.errorNumber !== 0) {
      this.#health.note('journal replayed', {
        message: 'the file system had met an error before: run fsck on the original',
        where: { structure: 's_errno', found: this.#format.errorNumber | 0 },
      });
    }
    this.#health.note('journal replayed', {
      message:
        `the journal was replayed: ${transactions} transactions, ` +
        `${fastCommits} fast commits, ${this.#blocks.size} blocks`,
    });
  }

  #stale({ message, where }: RestoreError): void {
    this.#health.note('stale', { message, where });
  }

  /** On top of what the log made of the volume, its superblock included. */
  async #applyFast(sequence: number): Promise<number> {
    if (this.#format.fast === undefined) return 0;
    const { tags, count, lost } = await readFastCommits(this.#file, this.#format.fast, sequence);
    if (lost !== undefined) this.#stale(lost);
    if (count === 0) return 0;
    try {
      await this.#change(tags);
      return count;
    } catch (error) {
      if (!isOfTheVolume(error)) throw error;
      this.#stale(error);
      return 0;
    }
  }

  async #change(tags: readonly FastTag[]): Promise<void> {
    const replayed = this.#overlay(this.#volume);
    const { offset } = this.#volume.superblock;
    const superblock = parseSuperblock(
      await readBytes(replayed.metadata, offset, SUPERBLOCK_BYTES),
      offset,
    );
    const volume = { ...replayed, superblock };
    const changed = await applyFastCommits(volume, this.#file, tags, this.#health);
    for (const [block, content] of changed) this.#blocks.set(block, content);
  }

  async #apply(logged: LoggedBlock, log: Log): Promise<void> {
    const revokedBy = log.revoked.get(logged.block);
    if (revokedBy !== undefined && !isLater(logged.sequence, revokedBy)) {
      this.#revoked += 1;
      return;
    }
    try {
      this.#check(logged);
      this.#put(logged, await this.#copyOf(logged));
    } catch (error) {
      if (!isRestoreError(error, 'CORRUPT')) throw error;
      this.#stale(error);
    }
  }

  #put({ block }: LoggedBlock, by: Replacement): void {
    const before = this.#blocks.get(block);
    if (before === undefined) this.#volume.budget.hold(BLOCK_HELD_BYTES);
    if (before instanceof Uint8Array) this.#volume.budget.release(before.byteLength);
    this.#blocks.set(block, by);
  }

  /** What is to stand in for the block: its place in the log or, where it was escaped, a copy. */
  async #copyOf(logged: LoggedBlock): Promise<Replacement> {
    const { checksums } = this.#format;
    if (checksums >= 2) {
      const block = await this.#file.read(logged.index);
      if (!tagSumHolds(this.#format, logged.sequence, block, logged.sum)) throw damagedCopy(logged);
    }
    if (!logged.escaped) return this.#file.offsetOf(logged.index);
    this.#volume.budget.hold(this.#format.blockSize);
    const copy = new Uint8Array(await this.#file.read(logged.index));
    new DataView(copy.buffer).setUint32(0, JOURNAL_MAGIC);
    return copy;
  }

  /** The bound is the volume's, not the superblock's: a growing file system logs blocks behind it. */
  #check({ block, sequence }: LoggedBlock): void {
    const count = Math.floor(this.#volume.data.size / this.#format.blockSize);
    const where = { structure: `journal transaction ${sequence}`, found: block };
    if (block >= count) {
      throw new RestoreError('CORRUPT', 'the journal holds a block from outside the volume', {
        where: { ...where, expected: `below ${count}` },
      });
    }
    if (this.#file.holds(block)) {
      throw new RestoreError('CORRUPT', 'the journal would overwrite itself', { where });
    }
  }

  #overlay<T extends Volume>(volume: T): T {
    const { data, metadata } = volume;
    if (this.#blocks.size === 0) return volume;
    return {
      ...volume,
      data: replaced(data, this.#format.blockSize, this.#blocks),
      metadata: replaced(metadata, this.#format.blockSize, this.#blocks),
    };
  }
}

function damagedCopy({ block, sequence }: LoggedBlock): RestoreError {
  return new RestoreError(
    'CORRUPT',
    'a block of the journal is damaged, so an older state of it is shown',
    {
      where: {
        structure: `journal transaction ${sequence}, block ${block}`,
        expected: 'its checksum',
      },
    },
  );
}

import { layout, RestoreError } from '../../../../core/index.ts';
import { revokedBlocksOf, type Tagged, tagsOf } from './blocks.ts';
import {
  CommitBlock,
  commitSumHolds,
  continueCrc32,
  TRANSACTION_SUM_START,
  tailSumHolds,
  transactionSumHolds,
} from './checksums.ts';
import { BLOCK_TYPE, BlockHeader, isLater, JOURNAL_MAGIC, type JournalFormat } from './format.ts';
import type { JournalFile } from './journal-file.ts';

/** A copy of a block in the log. */
export interface LoggedBlock extends Tagged {
  readonly sequence: number;
  /** Where it lies in the journal. */
  readonly index: number;
}

/** The log up to its last whole transaction. */
export interface Log {
  /** How many transactions are whole. */
  readonly transactions: number;
  /** The number behind that of the last whole transaction. */
  readonly endSequence: number;
  /** In the order in which they were written. */
  readonly blocks: readonly LoggedBlock[];
  /** By block: the last transaction that revoked it. */
  readonly revoked: ReadonlyMap<number, number>;
  /** Why transactions behind the last whole one are lost, when they were ever committed. */
  readonly lost: RestoreError | undefined;
}

/**
 * Reads the log from its beginning to the first transaction that is not whole, as the kernel's
 * `do_one_pass` does (fs/jbd2/recovery.c): block after block as long as each carries the magic and
 * the number of the transaction that is due, so that what is left of older rounds is never taken for
 * new.
 *
 * A sum that does not hold ends the log at that transaction. If it is in a descriptor or a
 * revocation block of a transaction that has its commit block, the kernel replays nothing at all; if
 * it is in the commit block, the kernel replays what comes before and refuses the mount. Blocks left
 * over from an older use of the same disk are told apart by their commit time, which goes back.
 *
 * @throws RestoreError `CORRUPT` where the kernel would replay nothing.
 */
export function readLog(file: JournalFile, format: JournalFormat): Promise<Log> {
  return new LogReader(file, format).read();
}

/** How far behind the end of the log its continuation is looked for. */
const LOOK_BEHIND_BYTES = 16 * 1024 * 1024;

/** What to do after a block. */
type Step = 'on' | 'end';

class LogReader {
  readonly #file: JournalFile;
  readonly #format: JournalFormat;
  #next: number;
  #sequence: number;
  /** Where the log ends though more follows: a commit whose sum does not hold. */
  #failed: { readonly sequence: number; readonly transactions: number } | undefined;
  #transactions = 0;
  #blocks: LoggedBlock[] = [];
  #revoked = new Map<number, number>();
  #lost: RestoreError | undefined;
  #lastCommitTime = 0n;
  /** Of the transaction being read. */
  #open = emptyTransaction();

  constructor(file: JournalFile, format: JournalFormat) {
    this.#file = file;
    this.#format = format;
    this.#next = format.start;
    this.#sequence = format.sequence;
  }

  async read(): Promise<Log> {
    // A log is never longer than the journal: more blocks than that go round in a circle.
    for (let walked = 0; ; ) {
      if (walked > this.#format.length) throw endless(this.#format.length);
      const before = this.#next;
      if ((await this.#step()) === 'end') break;
      const moved = this.#next - before;
      walked += moved > 0 ? moved : moved + this.#format.last - this.#format.first;
    }
    if (this.#lost === undefined) await this.#lookBehind();
    return {
      transactions: this.#failed?.transactions ?? this.#transactions,
      endSequence: this.#failed?.sequence ?? this.#sequence,
      blocks: this.#blocks,
      revoked: this.#revoked,
      lost: this.#lost,
    };
  }

  async #step(): Promise<Step> {
    const block = await this.#file.read(this.#next);
    const view = layout.viewOf(block);
    if (BlockHeader.h_magic(view) !== JOURNAL_MAGIC) return 'end';
    if (BlockHeader.h_sequence(view) !== this.#sequence) return 'end';
    const read = READERS[BlockHeader.h_blocktype(view)];
    if (read === undefined) return 'end';
    this.#advance(1);
    return read(this, block);
  }

  async descriptor(block: Uint8Array): Promise<Step> {
    const open = this.#open;
    if (!tailSumHolds(this.#format, block)) open.damaged = true;
    const tags = tagsOf(this.#format, block);
    const summing = this.#format.checksums === 1 && !open.damaged && this.#failed === undefined;
    if (summing) open.sum = continueCrc32(open.sum, block);
    for (const tag of tags) {
      if (this.#failed === undefined) {
        const { block: target, escaped, sum } = tag;
        open.blocks.push({
          block: target,
          escaped,
          sum,
          sequence: this.#sequence,
          index: this.#next,
        });
      }
      if (summing) open.sum = continueCrc32(open.sum, await this.#file.read(this.#next));
      this.#advance(1);
    }
    return 'on';
  }

  revocation(block: Uint8Array): Step {
    if (!tailSumHolds(this.#format, block)) this.#open.damaged = true;
    this.#open.revocations.push(block);
    return 'on';
  }

  commit(block: Uint8Array): Step {
    const time = CommitBlock.h_commit_sec(layout.viewOf(block));
    if (this.#open.damaged) {
      if (time < this.#lastCommitTime) return 'end';
      throw damaged('the journal has a damaged block in a committed transaction', this.#sequence);
    }
    if (this.#failed !== undefined) return this.#commitBehindFailed(block);
    if (!this.#sumHolds(block)) {
      if (time < this.#lastCommitTime) return 'end';
      return this.#fail();
    }
    this.#lastCommitTime = time;
    this.#close();
    return 'on';
  }

  #sumHolds(block: Uint8Array): boolean {
    if (this.#format.checksums === 1) return transactionSumHolds(block, this.#open.sum);
    return commitSumHolds(this.#format, block);
  }

  /**
   * With asynchronous commits a commit block may be written before its transaction: the last one
   * need not hold. If others follow, it was not the last.
   */
  #fail(): Step {
    this.#failed = { sequence: this.#sequence, transactions: this.#transactions };
    if (!this.#format.asyncCommit) {
      this.#lost = damaged('a committed transaction of the journal is damaged', this.#sequence);
      return 'end';
    }
    this.#open = emptyTransaction();
    this.#sequence = following(this.#sequence);
    return 'on';
  }

  #commitBehindFailed(block: Uint8Array): Step {
    if (!commitSumHolds(this.#format, block)) return 'end';
    const { sequence } = this.#failed as { sequence: number };
    this.#lost = damaged('a committed transaction of the journal is damaged', sequence);
    return 'end';
  }

  /**
   * A transaction is begun only when the one before it is committed: a later commit behind the end
   * of the log tells that the log did not end there, but has a block that is damaged. The kernel does
   * not look; the volume would read as if it were whole.
   */
  async #lookBehind(): Promise<void> {
    const { blockSize, first, last } = this.#format;
    const count = Math.min(last - first, Math.ceil(LOOK_BEHIND_BYTES / blockSize));
    const end = this.#failed?.sequence ?? this.#sequence;
    for (let looked = 0; looked < count; looked += 1) {
      const block = await this.#file.read(this.#next);
      if (this.#isCommitFrom(end, block)) {
        this.#lost = damaged('the log of the journal is damaged, and its end is lost', end);
        return;
      }
      this.#advance(1);
    }
  }

  /** Of this very log: not of an older file system's on the same disk. */
  #isCommitFrom(end: number, block: Uint8Array): boolean {
    const view = layout.viewOf(block);
    if (BlockHeader.h_magic(view) !== JOURNAL_MAGIC) return false;
    if (BlockHeader.h_blocktype(view) !== BLOCK_TYPE.commit) return false;
    const sequence = BlockHeader.h_sequence(view);
    const isNext = !isLater(end, sequence) && ((sequence - end) | 0) < this.#format.length;
    // With asynchronous commits, that of the last transaction may be there before the transaction.
    if (!isNext || (this.#format.asyncCommit && sequence === end)) return false;
    const time = CommitBlock.h_commit_sec(view);
    return time !== 0n && time >= this.#lastCommitTime && commitSumHolds(this.#format, block);
  }

  /** The transaction is whole: what it logged and revoked counts. */
  #close(): void {
    for (const logged of this.#open.blocks) this.#blocks.push(logged);
    for (const block of this.#open.revocations) {
      for (const target of revokedBlocksOf(this.#format, block)) {
        const before = this.#revoked.get(target);
        if (before === undefined || isLater(this.#sequence, before)) {
          this.#revoked.set(target, this.#sequence);
        }
      }
    }
    this.#transactions += 1;
    this.#open = emptyTransaction();
    this.#sequence = following(this.#sequence);
  }

  /** Goes on in the circle. */
  #advance(count: number): void {
    const { first, last } = this.#format;
    this.#next += count;
    if (this.#next >= last) this.#next -= last - first;
  }
}

/** By block type; any other ends the log. */
const READERS: Readonly<
  Record<number, (reader: LogReader, block: Uint8Array) => Step | Promise<Step>>
> = {
  [BLOCK_TYPE.descriptor]: (reader, block) => reader.descriptor(block),
  [BLOCK_TYPE.commit]: (reader, block) => reader.commit(block),
  [BLOCK_TYPE.revoke]: (reader, block) => reader.revocation(block),
};

interface OpenTransaction {
  readonly blocks: LoggedBlock[];
  readonly revocations: Uint8Array[];
  /** Of version 1. */
  sum: number;
  damaged: boolean;
}

function emptyTransaction(): OpenTransaction {
  return { blocks: [], revocations: [], sum: TRANSACTION_SUM_START, damaged: false };
}

function following(sequence: number): number {
  return (sequence + 1) >>> 0;
}

function damaged(message: string, sequence: number): RestoreError {
  return new RestoreError('CORRUPT', message, {
    where: { structure: `journal transaction ${sequence}`, expected: 'its checksum' },
  });
}

function endless(length: number): RestoreError {
  return new RestoreError('CORRUPT', 'the log of the journal does not end', {
    where: { structure: 'journal', expected: `at most ${length} blocks` },
  });
}

import {
  type BlockSource,
  type HealthLog,
  isRestoreError,
  layout,
  readBytes,
  RestoreError,
  throwIfAborted,
} from '../../../core/index.ts';

/** `$SDS` entry header; [MS-FSCC] leaves it out, ntfs-3g's `SECURITY_DESCRIPTOR_HEADER` has it. */
const Entry = {
  hash: layout.u32le(0),
  id: layout.u32le(4),
  offset: layout.u64le(8),
  length: layout.u32le(16),
} as const;
const HEADER_BYTES = 20;
const ALIGNMENT_BYTES = 16;
/** A self-relative descriptor without owner, group or lists ([MS-DTYP] 2.4.6). */
const DESCRIPTOR_BYTES_MIN = 20;
const REVISION = 1;
const SELF_RELATIVE = 0x8000;

/** Entries fill blocks of this size, never across two; behind each block lies a copy of it. */
const BLOCK_BYTES = 256 * 1024;
const STRIPE_BYTES = 2 * BLOCK_BYTES;
/** Real volumes hold thousands of descriptors in a few megabytes. */
const STREAM_BYTES_MAX = 512 * 1024 ** 2;
const ENTRIES_MAX = 1_000_000;

/**
 * The security descriptors of a volume: the stream `$SDS` of `$Secure`, where each is stored once and
 * named by a number in the files' `$STANDARD_INFORMATION`.
 *
 * The stream is read from its start as far as a number asks for. Each entry says where it lies, so
 * entries behind a damaged one are found again; each is stored twice and has a hash, so one damaged
 * copy does no harm.
 */
export class SecurityDescriptors {
  readonly #stream: BlockSource;
  readonly #health: HealthLog;
  /** Where entries lie, by number; places inside blocks or their copies. */
  readonly #places = new Map<number, number[]>();
  readonly #scans: (Promise<void> | undefined)[] = [];
  #entries = 0;

  /**
   * @param stream the content of `$SDS`; it stays the caller's.
   * @param health is told when a descriptor had to be read from its copy.
   */
  constructor(stream: BlockSource, health: HealthLog) {
    this.#stream = stream;
    this.#health = health;
  }

  /**
   * The descriptor called `id`, self-relative, as stored.
   *
   * @throws RestoreError `CORRUPT` when no sound copy of it is there, `LIMIT` when the stream is too
   *   long to look through.
   */
  async find(id: number, signal?: AbortSignal): Promise<Uint8Array> {
    const tried = new Set<number>();
    let cause: RestoreError | undefined;
    for (const block of this.#blocks()) {
      throwIfAborted(signal);
      try {
        const found = await this.#findIn(block, id, tried);
        if (found !== undefined) return found;
      } catch (error) {
        // A block that cannot be read has a copy.
        if (!isRestoreError(error, 'CORRUPT')) throw error;
        cause = error;
      }
    }
    const { size } = this.#stream;
    if (size > STREAM_BYTES_MAX) throw tooLong(`${STREAM_BYTES_MAX} bytes`, size);
    throw new RestoreError('CORRUPT', 'a security descriptor is missing or damaged', {
      where: {
        structure: '$SDS',
        expected: `a sound descriptor ${id}`,
        found: tried.size === 0 ? 'none' : `${tried.size} damaged`,
      },
      cause,
    });
  }

  /** Looks where `id` is said to be after `block` has been looked through. */
  async #findIn(block: number, id: number, tried: Set<number>): Promise<Uint8Array | undefined> {
    await this.#scan(block);
    for (const place of this.#places.get(id) ?? []) {
      if (tried.has(place)) continue;
      tried.add(place);
      const found = await this.#read(id, place);
      if (found === undefined) continue;
      if (place % STRIPE_BYTES >= BLOCK_BYTES) this.#noteCopy(id, place);
      return found;
    }
    return undefined;
  }

  #noteCopy(id: number, place: number): void {
    this.#health.note('partly damaged', {
      message: `security descriptor ${id} is damaged; its copy is read instead`,
      where: { structure: '$SDS', offset: place - BLOCK_BYTES },
    });
  }

  /** The starts of all blocks, then those of their copies. */
  *#blocks(): Generator<number> {
    const size = Math.min(this.#stream.size, STREAM_BYTES_MAX);
    for (let at = 0; at < size; at += STRIPE_BYTES) yield at;
    for (let at = BLOCK_BYTES; at < size; at += STRIPE_BYTES) yield at;
  }

  /** Looks through a block once, however many ask at a time. A failed read is tried anew later. */
  async #scan(block: number): Promise<void> {
    const index = block / BLOCK_BYTES;
    const scan = (this.#scans[index] ??= this.#scanNow(block));
    try {
      await scan;
    } catch (error) {
      this.#scans[index] = undefined;
      throw error;
    }
  }

  async #scanNow(block: number): Promise<void> {
    const length = Math.min(BLOCK_BYTES, this.#stream.size - block);
    const bytes = await readBytes(this.#stream, block, length);
    const view = layout.viewOf(bytes);
    for (let at = 0; at + HEADER_BYTES <= length; ) {
      const entryBytes = entryLength(view, at, block + at);
      if (entryBytes === undefined) {
        at += ALIGNMENT_BYTES;
        continue;
      }
      this.#remember(Entry.id(view, at), block + at);
      at += Math.ceil(entryBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    }
  }

  #remember(id: number, place: number): void {
    this.#entries += 1;
    if (this.#entries > ENTRIES_MAX) throw tooLong(`${ENTRIES_MAX} descriptors`, this.#entries);
    const places = this.#places.get(id);
    if (places === undefined) this.#places.set(id, [place]);
    else places.push(place);
  }

  /** The descriptor at `place`, `undefined` when it is damaged. */
  async #read(id: number, place: number): Promise<Uint8Array | undefined> {
    const header = await readBytes(this.#stream, place, HEADER_BYTES);
    const view = layout.viewOf(header);
    const length = Entry.length(view) - HEADER_BYTES;
    const descriptor = await readBytes(this.#stream, place + HEADER_BYTES, length);
    const isSound =
      Entry.id(view) === id &&
      Entry.hash(view) === hashOf(descriptor) &&
      isSelfRelative(descriptor);
    return isSound ? descriptor : undefined;
  }
}

/** The length of the entry at `at`, `undefined` when what lies there is none. */
function entryLength(view: DataView, at: number, place: number): number | undefined {
  const origin = Math.floor(place / STRIPE_BYTES) * STRIPE_BYTES + (place % BLOCK_BYTES);
  // Compared by halves: what is no entry may hold anything here, and is no damage by itself.
  if (view.getUint32(at + 8, true) !== origin || view.getUint32(at + 12, true) !== 0) {
    return undefined;
  }
  const length = Entry.length(view, at);
  const isPlausible =
    length >= HEADER_BYTES + DESCRIPTOR_BYTES_MIN && at + length <= view.byteLength;
  return isPlausible && Entry.id(view, at) !== 0 ? length : undefined;
}

function isSelfRelative(descriptor: Uint8Array): boolean {
  const control = (descriptor[2] as number) | ((descriptor[3] as number) << 8);
  return descriptor[0] === REVISION && (control & SELF_RELATIVE) !== 0;
}

/** Of the descriptor's whole 32-bit words: rotate left by 3, add. */
function hashOf(descriptor: Uint8Array): number {
  const view = layout.viewOf(descriptor);
  let hash = 0;
  for (let at = 0; at + 4 <= view.byteLength; at += 4) {
    hash = (((hash << 3) | (hash >>> 29)) + view.getUint32(at, true)) >>> 0;
  }
  return hash;
}

function tooLong(most: string, found: number): RestoreError {
  return new RestoreError('LIMIT', 'the stream of security descriptors is too long', {
    where: { structure: '$SDS', expected: `at most ${most}`, found },
  });
}

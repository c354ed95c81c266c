import { type Attributes, type FileKind, layout, RestoreError } from '../../../core/index.ts';
import {
  ChildLink,
  COMPONENT,
  Continuation,
  PosixAttributes,
  PosixDevice,
  SYSTEM_USE_HEADER_BYTES,
  TIME_FLAGS,
  Zisofs,
} from './layout.ts';
import { LONG_TIME_BYTES, longTime, SHORT_TIME_BYTES, shortTime } from './times.ts';

/** Where the entries of a record go on. */
export interface Area {
  readonly block: number;
  readonly offset: number;
  readonly length: number;
}

/** Linux' limit, against circles. */
const AREAS_MAX = 32;
const AREA_BYTES_MAX = 64 * 1024;
const NAME_BYTES_MAX = 1024;
const TARGET_BYTES_MAX = 64 * 1024;
const KINDS: Readonly<Record<number, FileKind>> = {
  0o010000: 'fifo',
  0o020000: 'character-device',
  0o040000: 'directory',
  0o060000: 'block-device',
  0o100000: 'file',
  0o120000: 'symlink',
  0o140000: 'socket',
};
const FORMAT_MASK = 0o170000;
const EXTENSIONS = ['RRIP_1991A', 'IEEE_P1282', 'IEEE_1282'];

type Times = Pick<Attributes, 'created' | 'accessed' | 'changed'> &
  Partial<Pick<Attributes, 'modified'>>;

/** Gathers what a record's system use area says: Rock Ridge, as far as it is present. */
export class SystemUse {
  posix: { mode: number; links: number; uid: number; gid: number } | undefined;
  device: { major: number; minor: number } | undefined;
  times: Times = {};
  /** The block of a directory that was moved out of its place (CL). */
  childBlock: number | undefined;
  /** This is such a directory, where it was moved to (RE). */
  isRelocated = false;
  /** Why the content cannot be read. */
  unreadable: string | undefined;
  /** The size of what zisofs compressed. */
  fullSize: number | undefined;
  /** The area names Rock Ridge as what it holds (ER). */
  isRockRidge = false;
  /** To be read and added next. */
  next: Area | undefined;
  error: RestoreError | undefined;
  readonly #name: number[] = [];
  #hasName = false;
  readonly #target: number[] = [];
  #hasTarget = false;
  /** The next component of the target goes on where the last one ended. */
  #isJoined = true;
  #areas = 0;
  readonly #at: number;

  /** @param at where the record lies, for errors. */
  constructor(at: number) {
    this.#at = at;
  }

  get name(): Uint8Array | undefined {
    return this.#hasName ? Uint8Array.from(this.#name) : undefined;
  }

  get target(): Uint8Array | undefined {
    return this.#hasTarget ? Uint8Array.from(this.#target) : undefined;
  }

  get kind(): FileKind | undefined {
    return this.posix === undefined ? undefined : KINDS[this.posix.mode & FORMAT_MASK];
  }

  /** Reads an area; afterwards `next` says whether there is another. */
  add(area: Uint8Array): void {
    this.next = undefined;
    this.#areas += 1;
    for (let at = 0; at + SYSTEM_USE_HEADER_BYTES <= area.length; ) {
      const length = area[at + 2] as number;
      const signature = String.fromCharCode(area[at] as number, area[at + 1] as number);
      if (signature === '\0\0' || signature === 'ST') return;
      if (length < SYSTEM_USE_HEADER_BYTES || at + length > area.length) {
        this.#fail(`an entry "${signature}" that fits its area`, `${length} bytes`);
        return;
      }
      const entry = area.subarray(at, at + length);
      const read = READERS[signature];
      if (read !== undefined) this.#guarded(() => read(this, entry, layout.viewOf(entry)));
      at += length;
    }
  }

  continueAt(area: Area): void {
    const isOne =
      this.next === undefined && this.#areas < AREAS_MAX && area.length <= AREA_BYTES_MAX;
    if (isOne) this.next = area;
    else this.#fail(`at most ${AREAS_MAX} areas of ${AREA_BYTES_MAX} bytes`, 'more');
  }

  addName(bytes: Uint8Array, flags: number): void {
    if ((flags & (COMPONENT.current | COMPONENT.parent)) !== 0) return;
    this.#hasName = true;
    if (this.#name.length + bytes.length > NAME_BYTES_MAX) this.#fail('a name', 'one without end');
    else this.#name.push(...bytes);
  }

  /** P1282 4.1.3.1: components of a link's target, each perhaps in several parts. */
  addTarget(components: Uint8Array): void {
    this.#hasTarget = true;
    for (let at = 0; at + 2 <= components.length; ) {
      const flags = components[at] as number;
      const end = at + 2 + (components[at + 1] as number);
      if (end > components.length || this.#target.length > TARGET_BYTES_MAX) {
        this.#fail('components that fit their entry', `one that ends at ${end}`);
        return;
      }
      if (!this.#isJoined) this.#target.push(0x2f);
      if ((flags & COMPONENT.root) !== 0) this.#target.push(0x2f);
      else if ((flags & COMPONENT.parent) !== 0) this.#target.push(0x2e, 0x2e);
      else if ((flags & COMPONENT.current) !== 0) this.#target.push(0x2e);
      else this.#target.push(...components.subarray(at + 2, end));
      this.#isJoined = (flags & (COMPONENT.continues | COMPONENT.root)) !== 0;
      at = end;
    }
  }

  #guarded(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      this.error ??= error;
    }
  }

  #fail(expected: string, found: string): void {
    this.error ??= new RestoreError('CORRUPT', "a file's Rock Ridge entries are damaged", {
      where: { structure: 'system use area', offset: this.#at, expected, found },
    });
  }
}

type Reader = (use: SystemUse, entry: Uint8Array, view: DataView) => void;

/** The entries that are read; all others, AA among them, say nothing that is shown. */
const READERS: Readonly<Record<string, Reader>> = {
  CE: (use, _, view) =>
    use.continueAt({
      block: Continuation.block(view),
      offset: Continuation.offset(view),
      length: Continuation.length(view),
    }),
  ER: (use, entry) => {
    const identifier = String.fromCharCode(...entry.subarray(8, 8 + (entry[4] ?? 0)));
    if (EXTENSIONS.includes(identifier)) use.isRockRidge = true;
  },
  PX: (use, _, view) => {
    use.posix = {
      mode: PosixAttributes.mode(view),
      links: PosixAttributes.links(view),
      uid: PosixAttributes.uid(view),
      gid: PosixAttributes.gid(view),
    };
  },
  PN: (use, _, view) => {
    use.device = deviceOf(PosixDevice.high(view), PosixDevice.low(view));
  },
  SL: (use, entry) => use.addTarget(entry.subarray(5)),
  NM: (use, entry) => use.addName(entry.subarray(5), entry[4] ?? 0),
  TF: (use, entry) => {
    use.times = { ...use.times, ...timesOf(entry) };
  },
  CL: (use, _, view) => {
    use.childBlock = ChildLink.block(view);
  },
  RE: (use) => {
    use.isRelocated = true;
  },
  SF: (use) => {
    use.unreadable = 'stored as a sparse file of Rock Ridge, which is not read';
  },
  ZF: (use, _, view) => {
    use.unreadable = 'compressed by zisofs, which is not read';
    use.fullSize = Zisofs.size(view);
  },
};

/**
 * Writers where a device number has 32 bits or fewer leave the upper word empty. The lower one then has
 * major and minor in a byte each, or, written under Linux, as glibc's `makedev` packs them: 12 bits
 * of major above the lowest byte of minor, the other 12 bits of which lie above that.
 */
function deviceOf(high: number, low: number): { major: number; minor: number } {
  if (high !== 0 || low <= 0xff) return { major: high, minor: low };
  return { major: (low >>> 8) & 0xfff, minor: (low & 0xff) | ((low >>> 12) & 0xf_ff00) };
}

/** P1282 4.1.6, in the order of its flags. */
function timesOf(entry: Uint8Array): Times {
  const flags = entry[4] ?? 0;
  const isLong = (flags & TIME_FLAGS.long) !== 0;
  const step = isLong ? LONG_TIME_BYTES : SHORT_TIME_BYTES;
  let at = 5;
  const times: { -readonly [name in keyof Times]: Times[name] } = {};
  for (const name of ['created', 'modified', 'accessed', 'changed'] as const) {
    if ((flags & TIME_FLAGS[name]) === 0) continue;
    if (at + step > entry.length) break;
    const bytes = entry.subarray(at, at + step);
    times[name] = isLong ? longTime(bytes) : shortTime(bytes);
    at += step;
  }
  return times;
}

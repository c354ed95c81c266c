import { chmodSync, chownSync, fsyncSync, lchownSync, utimesSync } from 'node:fs';
import { nameToBytes, RestoreError, showName, type Timestamp } from '../../core/index.ts';
import type { CopyEntry } from '../../server/index.ts';
import { asPath, openPath } from './beneath.ts';
import type { CLibrary } from './libc.ts';

export interface ExtractOptions {
  /** Replace files that are there already. */
  readonly force: boolean;
  /** Owners, whole modes, and the attributes that come with an entry. */
  readonly acls: boolean;
  /** Named streams as attributes `user.NAME`. */
  readonly streams: boolean;
  /** Make device nodes, fifos and sockets. */
  readonly devices: boolean;
  /** What was read of a file that could not be read whole stays, as NAME.partial. */
  readonly keepPartial: boolean;
}

const MODE_PLAIN = 0o777;
const MODE_WHOLE = 0o7777;
/** What file systems say that do not have what is to be set, and systems that do not allow it. */
const REFUSALS: ReadonlySet<string> = new Set([
  ...['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EROFS'],
]);
/** Kinds of shortcomings that are told; hostile attributes have as many names as they like. */
const SHORTCOMINGS_MAX = 50;
/** errno(3). */
const EPERM = 1;

/** stat(2), file type bits. */
const TYPE_BITS = {
  fifo: 0o010000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  socket: 0o140000,
} as const satisfies Partial<Record<CopyEntry['kind'], number>>;

/** Attributes of files: which are set, and what could not be. */
export class Metadata {
  readonly #options: ExtractOptions;
  readonly #library: CLibrary | undefined;
  readonly #isRoot = process.getuid?.() === 0;
  readonly #umask = process.umask();
  readonly #short = new Map<string, number>();

  constructor(options: ExtractOptions, library: CLibrary | undefined) {
    this.#options = options;
    this.#library = library;
    if (options.acls && !this.#isRoot) this.#note('owners and special mode bits need root');
  }

  get shortcomings(): readonly string[] {
    return [...this.#short].map(([what, count]) => (count > 1 ? `${what} (${count} times)` : what));
  }

  /**
   * Everything but a link's, of an open file: a name may lead to another file by now, whose owner and
   * mode would then be set. Owner first: changing it clears what follows.
   */
  setOnOpen(descriptor: number, entry: CopyEntry): void {
    const place = openPath(descriptor);
    const { uid, gid, mode } = entry;
    const isOwned =
      this.#keepsOwners &&
      uid !== undefined &&
      this.#attempt('the owner', () => chownSync(place, uid, gid ?? uid));
    // Bits that lend the owner's rights are for that owner alone.
    const bits = this.#modeOf(entry.kind, mode) & (isOwned ? MODE_WHOLE : MODE_PLAIN);
    this.#attempt('the mode', () => chmodSync(place, bits));
    this.#setXattrs(place, entry, true);
    this.#setTimes(place, entry, true);
  }

  /** A link has an owner, attributes and times, and no mode. */
  setOnLink(path: Uint8Array, entry: CopyEntry): void {
    const { uid, gid } = entry;
    if (this.#keepsOwners && uid !== undefined) {
      this.#attempt('the owner', () => lchownSync(asPath(path), uid, gid ?? uid));
    }
    this.#setXattrs(path, entry, false);
    if (this.#library !== undefined) this.#setTimes(path, entry, false);
  }

  /** @throws RestoreError `UNSUPPORTED`, `DENIED`, `IO`. */
  makeNode(path: Uint8Array, { kind, device }: CopyEntry): void {
    const library = this.#library;
    const type = (TYPE_BITS as Partial<Record<CopyEntry['kind'], number>>)[kind];
    if (library === undefined || type === undefined) {
      throw new RestoreError('UNSUPPORTED', `a ${kind} cannot be made on this platform`);
    }
    const { major, minor } = device ?? { major: 0, minor: 0 };
    if (library.makeNode(path, type | 0o600, major, minor) === 0) return;
    const errno = library.errno();
    throw new RestoreError(errno === EPERM ? 'DENIED' : 'IO', `a ${kind} cannot be made`, {
      where: { found: `error ${errno}` },
      ...(errno === EPERM ? { hint: 'Device nodes need root.' } : {}),
    });
  }

  /** Has everything on the disk. */
  sync(descriptor: number): void {
    if (this.#library?.syncFileSystem(descriptor) !== 0) fsyncSync(descriptor);
  }

  get #keepsOwners(): boolean {
    return this.#options.acls && this.#isRoot;
  }

  #modeOf(kind: CopyEntry['kind'], mode: number | undefined): number {
    if (mode === undefined) return (kind === 'directory' ? 0o777 : 0o666) & ~this.#umask;
    // Unasked, as cp(1) does it: nobody gets more rights than on a new file.
    return this.#options.acls ? mode : mode & MODE_PLAIN & ~this.#umask;
  }

  /** File systems without owners and modes refuse them: the file is whole all the same. */
  #attempt(what: string, step: () => void): boolean {
    try {
      step();
      return true;
    } catch (error) {
      if (!REFUSALS.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
      this.#note(`${what} could not be set`);
      return false;
    }
  }

  #setTimes(path: Uint8Array, { accessed, modified }: CopyEntry, follow: boolean): void {
    if (this.#library === undefined) {
      utimesSync(asPath(path), secondsOf(accessed ?? modified), secondsOf(modified));
    } else if (this.#library.setTimes(path, accessed, modified, follow) !== 0) {
      this.#note('times could not be set');
    }
  }

  /** Those that were asked for, whatever is handed over: some lend rights. */
  #setXattrs(path: Uint8Array, { xattrs = [] }: CopyEntry, follow: boolean): void {
    const { acls, streams } = this.#options;
    for (const [name, base64] of xattrs) {
      if (!acls && !(streams && name.startsWith('user.'))) continue;
      const value = Buffer.from(base64, 'base64');
      if (this.#setXattr(path, name, value, follow)) continue;
      // Kept under a name that every file system takes, to be put back with setfattr.
      const stored = name.replace(/^system\.ntfs/, 'user.ntfs');
      if (stored !== name && this.#setXattr(path, stored, value, follow)) continue;
      this.#note(`the extended attribute ${showName(name)} could not be set`);
    }
  }

  #setXattr(path: Uint8Array, name: string, value: Uint8Array, follow: boolean): boolean {
    const bytes = nameToBytes(name);
    // The system would take what stands before a NUL for the name.
    return !bytes.includes(0) && this.#library?.setXattr(path, bytes, value, follow) === 0;
  }

  #note(name: string): void {
    const isKnown = this.#short.has(name) || this.#short.size < SHORTCOMINGS_MAX;
    const what = isKnown ? name : 'more of the kind';
    this.#short.set(what, (this.#short.get(what) ?? 0) + 1);
  }
}

/** Node takes seconds: exact to a quarter of a microsecond. */
function secondsOf({ seconds, nanoseconds }: Timestamp): number {
  return seconds + nanoseconds / 1e9;
}

import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { nameToBytes, RestoreError } from '../../core/index.ts';
import type { CopyEntry } from '../../server/index.ts';
import { asPath, Beneath, inside, type PlaceBeneath } from './beneath.ts';
import type { CLibrary } from './libc.ts';
import { type ExtractOptions, Metadata } from './metadata.ts';
import { giveNewName, hasNoLinks, removeQuietly } from './naming.ts';
import { Twins } from './twins.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
/** open(2), which Node has no name for: a place in the tree, whatever is there. */
const O_PATH = 0o10000000;
const COPY_BYTES = 1024 * 1024;
/** Names for what is left of a file, tried in turn: one of them may be another file's. */
const PARTIALS = ['.partial', ...Array.from({ length: 8 }, (_, index) => `.partial${index + 2}`)];

export interface ExtractCounts {
  files: number;
  directories: number;
  links: number;
  others: number;
  bytes: number;
  skippedDevices: number;
}

/** The file that is being written. */
interface Writing {
  readonly entry: CopyEntry;
  readonly descriptor: number;
  readonly temporary: Uint8Array;
  readonly place: PlaceBeneath;
}

/**
 * Makes files in a folder from entries and data that may be hostile: nothing leaves the folder, no
 * link is followed, nothing is overwritten unasked, and a file has its name only when it is whole.
 */
export class Extractor {
  readonly counts: ExtractCounts = {
    files: 0,
    directories: 0,
    links: 0,
    others: 0,
    bytes: 0,
    skippedDevices: 0,
  };
  readonly #beneath: Beneath;
  readonly #options: ExtractOptions;
  readonly #metadata: Metadata;
  readonly #isNew: boolean;
  readonly #twins = new Twins();
  /** Directories made here, whose times and modes come last: writing in them changes both. */
  readonly #directories: CopyEntry[] = [];
  #writing: Writing | undefined;
  #temporaries = 0;

  /**
   * @param isNew whether the folder was made for this, and is to become what it is a copy of.
   * @throws NodeJS.ErrnoException when the folder cannot be opened.
   */
  constructor(
    folder: string,
    isNew: boolean,
    options: ExtractOptions,
    library: CLibrary | undefined,
  ) {
    this.#beneath = new Beneath(folder);
    this.#isNew = isNew;
    this.#options = options;
    this.#metadata = new Metadata(options, library);
  }

  /** What could not be set on files that are otherwise whole: told once each kind. */
  get shortcomings(): readonly string[] {
    return this.#metadata.shortcomings;
  }

  /**
   * Makes what the entry says; of a file, an empty one under a name of its own.
   *
   * @throws RestoreError, NodeJS.ErrnoException: this entry cannot be made; the next may.
   */
  begin(entry: CopyEntry): void {
    this.abandon();
    this.#twins.checkWay(entry.path);
    if (entry.kind === 'directory') this.#directory(entry);
    else if (entry.sameAs !== undefined) this.#hardLink(entry, entry.sameAs);
    else if (entry.kind === 'file') this.#openFile(entry);
    else if (entry.kind === 'symlink') this.#symbolicLink(entry);
    else this.#node(entry);
  }

  /** Bytes of the file that was begun; those of one that could not be made are dropped. */
  write(offset: number, bytes: Uint8Array): void {
    if (this.#writing === undefined) return;
    const { descriptor, entry } = this.#writing;
    if (offset + bytes.byteLength > entry.size) {
      throw new RestoreError('CORRUPT', 'more bytes than the file has', {
        where: { expected: `${entry.size} bytes`, found: offset + bytes.byteLength },
      });
    }
    for (let done = 0; done < bytes.byteLength; ) {
      done += writeSync(descriptor, bytes, done, bytes.byteLength - done, offset + done);
    }
    this.counts.bytes += bytes.byteLength;
  }

  /** The file is whole: it gets its attributes, and then its name. */
  finish(): void {
    const writing = this.#writing;
    if (writing === undefined) return;
    const { entry, descriptor, temporary, place } = writing;
    this.#writing = undefined;
    try {
      closing(descriptor, () => {
        // Holes, the one at the end too.
        ftruncateSync(descriptor, entry.size);
        this.#metadata.setOnOpen(descriptor, entry);
      });
      this.#giveName(temporary, entry, place);
    } catch (error) {
      removeQuietly(temporary);
      throw error;
    }
    this.counts.files += 1;
  }

  /** The file that was begun is not to be: nothing of it stays, unless asked for. */
  abandon(): void {
    const writing = this.#writing;
    if (writing === undefined) return;
    this.#writing = undefined;
    const isKept = this.#options.keepPartial && this.#keepPartial(writing);
    if (!isKept) removeQuietly(writing.temporary);
    // Last: what is closed may tell of an error now, and nothing must stay because of it.
    closeSync(writing.descriptor);
  }

  /** Under a name that nothing has. @returns whether one was found. */
  #keepPartial({ entry, temporary, place }: Writing): boolean {
    for (const suffix of PARTIALS) {
      const name = nameToBytes(`${entry.path.at(-1) ?? ''}${suffix}`);
      try {
        giveNewName(temporary, inside(place.directory, name));
        return true;
      } catch (error) {
        // A name that is too long: as without the option.
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
      }
    }
    return false;
  }

  /** Sets what is left to set, and has everything on the disk when it returns. */
  complete(): void {
    this.abandon();
    for (const entry of this.#directories.toReversed()) {
      this.#metadata.setOnOpen(this.#beneath.directory(entry.path), entry);
    }
    this.#metadata.sync(this.#beneath.descriptor);
  }

  close(): void {
    this.abandon();
    this.#beneath.close();
  }

  #directory(entry: CopyEntry): void {
    const { path } = entry;
    const isRoot = path.length === 0;
    const isNew = isRoot ? this.#isNew : this.#beneath.makeDirectory(path);
    if (isNew) this.#directories.push(entry);
    if (isRoot) return;
    if (isNew) {
      this.#twins.noteDirectory(path);
      this.counts.directories += 1;
    } else this.#twins.checkDirectory(path, this.#beneath.place(path));
  }

  #openFile(entry: CopyEntry): void {
    const place = this.#beneath.place(entry.path);
    this.#refuseExisting(place);
    for (;;) {
      this.#temporaries += 1;
      const name = Buffer.from(`.rehydrate-${process.pid}-${this.#temporaries}.partial`);
      const temporary = inside(place.directory, name);
      try {
        const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
        const descriptor = openSync(asPath(temporary), flags, 0o600);
        this.#writing = { entry, descriptor, temporary, place };
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
    }
  }

  /** Early, so that no gigabyte is written for nothing; what counts is {@link #giveName}. */
  #refuseExisting({ bytes }: PlaceBeneath): void {
    if (this.#options.force) return;
    if (lstatSync(asPath(bytes), { throwIfNoEntry: false }) !== undefined) throw exists();
  }

  #giveName(temporary: Uint8Array, { path }: CopyEntry, place: PlaceBeneath): void {
    if (this.#options.force) {
      this.#twins.checkFile(path, place);
      renameSync(asPath(temporary), asPath(place.bytes));
    } else giveNewName(temporary, place.bytes);
    this.#noteFile(path);
  }

  /** Where nothing is replaced, a twin meets what is there. */
  #noteFile(path: readonly string[]): void {
    if (this.#options.force) this.#twins.noteFile(path);
  }

  #symbolicLink(entry: CopyEntry): void {
    const { bytes } = this.#placeFor(entry);
    symlinkSync(asPath(nameToBytes(entry.target ?? '')), asPath(bytes));
    this.#metadata.setOnLink(bytes, entry);
    this.#noteFile(entry.path);
    this.counts.links += 1;
  }

  #hardLink(entry: CopyEntry, sameAs: readonly string[]): void {
    // Opened once more: finding the second place may close the first one's directory.
    const above = openDirectory(this.#beneath.place(sameAs).directory);
    closing(above, () => {
      const from = inside(above, nameToBytes(sameAs.at(-1) ?? ''));
      const { bytes } = this.#placeFor(entry);
      try {
        linkSync(asPath(from), asPath(bytes));
      } catch (error) {
        if (!hasNoLinks(error)) throw error;
        this.#secondCopy(from, entry);
        return;
      }
      this.#noteFile(entry.path);
      this.counts.links += 1;
    });
  }

  /** Where there are no hard links, the file is there twice. */
  #secondCopy(from: Uint8Array, entry: CopyEntry): void {
    const source = openSync(asPath(from), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    closing(source, () => {
      const { size } = fstatSync(source);
      this.#openFile({ ...entry, size });
      const buffer = new Uint8Array(COPY_BYTES);
      for (let at = 0; at < size; ) {
        const length = readSync(source, buffer, 0, Math.min(COPY_BYTES, size - at), at);
        if (length === 0) throw new RestoreError('IO', 'the file was cut while it was copied');
        this.write(at, buffer.subarray(0, length));
        at += length;
      }
      this.finish();
    });
  }

  #node(entry: CopyEntry): void {
    if (!this.#options.devices) {
      this.counts.skippedDevices += 1;
      return;
    }
    const { bytes } = this.#placeFor(entry);
    this.#metadata.makeNode(bytes, entry);
    const node = openSync(asPath(bytes), O_PATH | O_NOFOLLOW);
    closing(node, () => this.#metadata.setOnOpen(node, entry));
    this.#noteFile(entry.path);
    this.counts.others += 1;
  }

  /** Where something that is made at once goes: what stands there is removed when asked for. */
  #placeFor({ path }: CopyEntry): PlaceBeneath {
    const place = this.#beneath.place(path);
    if (this.#options.force) {
      this.#twins.checkFile(path, place);
      removeQuietly(place.bytes);
    }
    return place;
  }
}

function openDirectory(descriptor: number): number {
  return openSync(`/proc/self/fd/${descriptor}`, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Closes it after use, whatever comes of that. */
function closing(descriptor: number, use: () => void): void {
  try {
    use();
  } finally {
    closeSync(descriptor);
  }
}

function exists(): RestoreError {
  return new RestoreError('EXISTS', 'a file of that name is there already', {
    hint: 'Choose an empty folder, or replace files with --force.',
  });
}

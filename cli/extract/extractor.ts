import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { nameToBytes, RestoreError } from '../../core/index.ts';
import type { CopyEntry } from '../../server/index.ts';
import { asPath, Beneath, inside, type PlaceBeneath } from './beneath.ts';
import type { CLibrary } from './libc.ts';
import { type ExtractOptions, Metadata } from './metadata.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

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
    // Holes, the one at the end too.
    ftruncateSync(descriptor, entry.size);
    closeSync(descriptor);
    this.#writing = undefined;
    try {
      this.#metadata.setOnPath(temporary, entry);
      this.#giveName(temporary, place);
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
    closeSync(writing.descriptor);
    if (this.#options.keepPartial) {
      const name = nameToBytes(`${writing.entry.path.at(-1) ?? ''}.partial`);
      try {
        renameSync(asPath(writing.temporary), asPath(inside(writing.place.directory, name)));
        return;
      } catch {
        // A name that is too long: as without the option.
      }
    }
    removeQuietly(writing.temporary);
  }

  /** Sets what is left to set, and has everything on the disk when it returns. */
  complete(): void {
    this.abandon();
    for (const entry of this.#directories.toReversed()) {
      const itself = inside(this.#beneath.directory(entry.path), Buffer.from('.'));
      this.#metadata.setOnPath(itself, entry);
    }
    this.#metadata.sync(this.#beneath.descriptor);
  }

  close(): void {
    this.abandon();
    this.#beneath.close();
  }

  #directory(entry: CopyEntry): void {
    const isRoot = entry.path.length === 0;
    const isNew = isRoot ? this.#isNew : this.#beneath.makeDirectory(entry.path);
    if (isNew) this.#directories.push(entry);
    if (isNew && !isRoot) this.counts.directories += 1;
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

  #giveName(temporary: Uint8Array, { bytes }: PlaceBeneath): void {
    if (this.#options.force) {
      renameSync(asPath(temporary), asPath(bytes));
      return;
    }
    // A link, unlike a rename, replaces nothing.
    linkSync(asPath(temporary), asPath(bytes));
    unlinkSync(asPath(temporary));
  }

  #symbolicLink(entry: CopyEntry): void {
    const { bytes } = this.#placeFor(entry);
    symlinkSync(asPath(nameToBytes(entry.target ?? '')), asPath(bytes));
    this.#metadata.setOnLink(bytes, entry);
    this.counts.links += 1;
  }

  #hardLink(entry: CopyEntry, sameAs: readonly string[]): void {
    // A copy of the path: finding the second place may close the first one's directory.
    const source = this.#beneath.place(sameAs);
    const held = `/proc/self/fd/${openDirectory(source.directory)}`;
    const name = nameToBytes(sameAs.at(-1) ?? '');
    const from = Buffer.concat([Buffer.from(`${held}/`), name]);
    try {
      linkSync(from, asPath(this.#placeFor(entry).bytes));
    } finally {
      closeSync(Number(held.slice(held.lastIndexOf('/') + 1)));
    }
    this.counts.links += 1;
  }

  #node(entry: CopyEntry): void {
    if (!this.#options.devices) {
      this.counts.skippedDevices += 1;
      return;
    }
    const { bytes } = this.#placeFor(entry);
    this.#metadata.makeNode(bytes, entry);
    this.#metadata.setOnPath(bytes, entry);
    this.counts.others += 1;
  }

  /** Where something that is made at once goes: what stands there is removed when asked for. */
  #placeFor({ path }: CopyEntry): PlaceBeneath {
    const place = this.#beneath.place(path);
    if (this.#options.force) removeQuietly(place.bytes);
    return place;
  }
}

function openDirectory(descriptor: number): number {
  return openSync(`/proc/self/fd/${descriptor}`, constants.O_RDONLY | constants.O_DIRECTORY);
}

function removeQuietly(path: Uint8Array): void {
  try {
    unlinkSync(asPath(path));
  } catch {
    // It is not there.
  }
}

function exists(): RestoreError {
  return new RestoreError('EXISTS', 'a file of that name is there already', {
    hint: 'Choose an empty folder, or replace files with --force.',
  });
}

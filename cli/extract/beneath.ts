import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { nameToBytes, RestoreError } from '../../core/index.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
const DEPTH_MAX = 1024;
const NAME_BYTES_MAX = 255;
const SLASH = 0x2f;

/** A name in a directory that is held open: a path that no link can lead astray. */
export interface PlaceBeneath {
  readonly bytes: Uint8Array;
  readonly directory: number;
}

/**
 * Paths beneath a folder that nothing can leave. Node has no `openat`; `/proc/self/fd/N/NAME` is the
 * same: each directory on the way is opened by itself, as a name in the open one above, and never
 * through a link. Whoever swaps a directory for a link meanwhile gets an error, not a file elsewhere.
 */
export class Beneath {
  readonly #root: number;
  /** The way down to the directory used last: most entries are near the one before. */
  readonly #way: { readonly name: string; readonly descriptor: number }[] = [];

  /** @throws NodeJS.ErrnoException */
  constructor(folder: string) {
    this.#root = openSync(folder, O_RDONLY | O_DIRECTORY);
  }

  get descriptor(): number {
    return this.#root;
  }

  /**
   * A name in its directory, which must be there.
   *
   * @throws RestoreError `INVALID` for names that are none. NodeJS.ErrnoException otherwise.
   */
  place(path: readonly string[]): PlaceBeneath {
    const name = path.at(-1);
    if (name === undefined) throw new RestoreError('INVALID', 'the folder itself has no name');
    const directory = this.#descend(path.slice(0, -1));
    return { directory, bytes: inside(directory, checkedName(name)) };
  }

  /** The directory at a path, opened; it stays this object's to close. */
  directory(path: readonly string[]): number {
    return this.#descend(path);
  }

  /** Makes a directory that only its owner may enter. @returns whether it was not there before. */
  makeDirectory(path: readonly string[]): boolean {
    const { bytes } = this.place(path);
    try {
      mkdirSync(asPath(bytes), 0o700);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      this.#descend(path);
      return false;
    }
    return true;
  }

  close(): void {
    this.#ascendTo(0);
    closeSync(this.#root);
  }

  #descend(path: readonly string[]): number {
    if (path.length > DEPTH_MAX) {
      throw new RestoreError('LIMIT', 'directories lie too deep', {
        where: { expected: `at most ${DEPTH_MAX} levels`, found: path.length },
      });
    }
    let shared = 0;
    while (shared < path.length && this.#way[shared]?.name === path[shared]) shared += 1;
    this.#ascendTo(shared);
    for (const name of path.slice(shared)) {
      const above = this.#way.at(-1)?.descriptor ?? this.#root;
      const place = asPath(inside(above, checkedName(name)));
      const descriptor = openSync(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      this.#way.push({ name, descriptor });
    }
    return this.#way.at(-1)?.descriptor ?? this.#root;
  }

  #ascendTo(depth: number): void {
    for (const { descriptor } of this.#way.splice(depth)) closeSync(descriptor);
  }
}

/** Node takes paths as a `Buffer`, and no other array. */
export function asPath(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What is open, as a path that leads to it whatever became of its name. */
export function openPath(descriptor: number): Buffer {
  return Buffer.from(`/proc/self/fd/${descriptor}`);
}

export function inside(directory: number, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
}

/** @throws RestoreError `INVALID` unless it is one name, and no way to somewhere else. */
function checkedName(name: string): Uint8Array {
  const bytes = nameToBytes(name);
  const isName =
    bytes.byteLength > 0 &&
    bytes.byteLength <= NAME_BYTES_MAX &&
    name !== '.' &&
    name !== '..' &&
    !bytes.includes(SLASH) &&
    !bytes.includes(0);
  if (isName) return bytes;
  throw new RestoreError('INVALID', 'a name that no file can have here', {
    where: {
      expected: `1 to ${NAME_BYTES_MAX} bytes without / and NUL, not . or ..`,
      found: `${bytes.byteLength} bytes`,
    },
    hint: 'Rename it on a writable copy of the disk, or read it with `rehydrate cat`.',
  });
}

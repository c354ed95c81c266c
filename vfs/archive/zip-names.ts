import { nameToBytes, RestoreError } from '../../core/index.ts';

/** Not allowed in Windows' names, nor wanted in any: controls, and what has a meaning in paths. */
const FORBIDDEN = new Set('<>:"|?*\\/');
/** Device names, with or without an extension: "Naming Files, Paths, and Namespaces", Win32. */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)/i;
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

/** Says how to read the names; stands in the archive's comment. */
export const ZIP_NAMES_COMMENT =
  'Names that not every system can have are written with %XX for each byte (UTF-8) that is changed; a % before two hexadecimal digits is %25. %~2 and so on stand behind names that others have already.';
/** APPNOTE.TXT section 4.4.10: the length of a name has 16 bits; a slash may come behind it. */
const PATH_BYTES_MAX = 65_534;
/** So many characters are written as bytes to tell a name from another; then it gets a number. */
const FORCED_MAX = 4;

/**
 * Names for a zip archive, which may be unpacked anywhere: none is a path, a device or hidden text to
 * Windows, and no two in a directory are one where case, or how an accent is composed, does not
 * count. What is changed is written as `%XX`, byte by byte, so every name can be told from any other.
 */
export class ZipNames {
  readonly #directories = new Map<string, string>([['', '']]);
  /** Names in use in the directory at hand and in those above it. */
  readonly #open: { readonly directory: string; readonly taken: Taken }[] = [];

  /**
   * The path for a member. A directory comes right before what is in it.
   *
   * @param isDirectory whether members may follow below it.
   * @throws RestoreError `UNSUPPORTED` for one that is longer than an archive can hold.
   */
  pathOf(path: readonly string[], isDirectory: boolean): string {
    const parent = path.slice(0, -1).join('/');
    const above = this.#directories.get(parent) ?? '';
    const safe = `${above}${distinct(path.at(-1) ?? '', this.#takenIn(parent))}`;
    if (Buffer.byteLength(safe) > PATH_BYTES_MAX) throw tooLong(safe);
    if (isDirectory) this.#directories.set(path.join('/'), `${safe}/`);
    return safe;
  }

  #takenIn(directory: string): Taken {
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      if (top.directory === directory) return top.taken;
      if (top.directory === '' || directory.startsWith(`${top.directory}/`)) break;
      this.#open.pop();
    }
    const taken: Taken = new Map();
    this.#open.push({ directory, taken });
    return taken;
  }
}

/** Names in use as they are compared, and the number that the next one of that name gets. */
type Taken = Map<string, number>;

/** A name that nobody has yet. The work does not grow with how many names are alike. */
function distinct(name: string, taken: Taken): string {
  for (let forced = 0; forced <= Math.min(FORCED_MAX, name.length); forced += 1) {
    const candidate = safeName(name, forced);
    if (take(candidate, taken)) return candidate;
  }
  const base = safeName(name, 0);
  const key = keyOf(base);
  for (let number = taken.get(key) ?? 2; ; number += 1) {
    const candidate = `${base}%~${number}`;
    if (!take(candidate, taken)) continue;
    taken.set(key, number + 1);
    return candidate;
  }
}

/** @returns whether nobody had it. */
function take(name: string, taken: Taken): boolean {
  const key = keyOf(name);
  if (taken.has(key)) return false;
  taken.set(key, 2);
  return true;
}

/** What file systems without case, or with one way to compose accents, take for the same. */
function keyOf(name: string): string {
  return name.normalize('NFC').toLowerCase().toUpperCase();
}

function tooLong(path: string): RestoreError {
  return new RestoreError('UNSUPPORTED', 'a path is longer than a zip archive can hold', {
    where: { expected: `at most ${PATH_BYTES_MAX} bytes`, found: Buffer.byteLength(path) },
    hint: 'Use `rehydrate tar` or `rehydrate cp`.',
  });
}

/** @param forced how many characters from the start are written as bytes whatever they are. */
function safeName(name: string, forced: number): string {
  const characters = [...name];
  const last = characters.length - 1;
  const isReserved = RESERVED.test(name);
  return characters
    .map((character, index) => {
      const isFirst = index === 0 && isReserved;
      const isBadEnd = index === last && (character === '.' || character === ' ');
      const mustChange =
        index < forced ||
        isFirst ||
        isBadEnd ||
        FORBIDDEN.has(character) ||
        HIDDEN.test(character) ||
        isEscape(characters, index);
      return mustChange ? escaped(character) : character;
    })
    .join('');
}

/** A `%` that would be read as an escape. */
function isEscape(characters: readonly string[], index: number): boolean {
  if (characters[index] !== '%') return false;
  return /^[0-9A-Fa-f]{2}$/.test(characters.slice(index + 1, index + 3).join(''));
}

function escaped(character: string): string {
  return [...nameToBytes(character)]
    .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');
}

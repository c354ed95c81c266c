import { nameToBytes } from '../../core/index.ts';

/** Not allowed in Windows' names, nor wanted in any: controls, and what has a meaning in paths. */
const FORBIDDEN = new Set('<>:"|?*\\/');
/** Device names, with or without an extension: "Naming Files, Paths, and Namespaces", Win32. */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)/i;
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

/** Says how to read the names; stands in the archive's comment. */
export const ZIP_NAMES_COMMENT =
  'Names that not every system can have are written with %XX for each byte (UTF-8) that is changed; a % before two hexadecimal digits is %25.';

/**
 * Names for a zip archive, which may be unpacked anywhere: none is a path, a device or hidden text to
 * Windows, and no two in a directory are one where case, or how an accent is composed, does not
 * count. What is changed is written as `%XX`, byte by byte, so every name can be told from any other.
 */
export class ZipNames {
  readonly #directories = new Map<string, string>([['', '']]);
  /** Names in use in the directory at hand and in those above it. */
  readonly #open: { readonly directory: string; readonly taken: Set<string> }[] = [];

  /**
   * The path for a member. A directory comes right before what is in it.
   *
   * @param isDirectory whether members may follow below it.
   */
  pathOf(path: readonly string[], isDirectory: boolean): string {
    const parent = path.slice(0, -1).join('/');
    const above = this.#directories.get(parent) ?? '';
    const safe = `${above}${distinct(path.at(-1) ?? '', this.#takenIn(parent))}`;
    if (isDirectory) this.#directories.set(path.join('/'), `${safe}/`);
    return safe;
  }

  #takenIn(directory: string): Set<string> {
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      if (top.directory === directory) return top.taken;
      if (top.directory === '' || directory.startsWith(`${top.directory}/`)) break;
      this.#open.pop();
    }
    const taken = new Set<string>();
    this.#open.push({ directory, taken });
    return taken;
  }
}

function distinct(name: string, taken: Set<string>): string {
  for (let forced = 0; ; forced += 1) {
    const candidate = safeName(name, forced);
    const key = candidate.normalize('NFC').toLowerCase().toUpperCase();
    if (taken.has(key) && forced <= name.length) continue;
    taken.add(key);
    return candidate;
  }
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

import { nameToBytes } from '../core/index.ts';

/**
 * How names that may be anything are shown to people. A shown name is one line, moves no cursor,
 * turns no text around, looks like no other name, and can be pasted into a shell: plain, in single
 * quotes, or as `$'…'` with `\xNN` for bytes and `\uNNNN` for characters that cannot be seen.
 */
export function showName(name: string): string {
  if (PLAIN.test(name)) return name;
  // Twins that differ in how an accent is composed must look different.
  const isComposed = name.normalize('NFC') === name;
  if (isComposed && !HIDDEN.test(name) && !LEADING_MARK.test(name)) return quoted(name);
  return escaped(name, isComposed);
}

/** Text from a guest inside a message: nothing hidden, no line of its own; not quoted. */
export function showText(text: string): string {
  if (!HIDDEN.test(text)) return text;
  let shown = '';
  for (const character of text)
    shown += HIDDEN.test(character) ? escapedCharacter(character, true) : character;
  return shown;
}

/** A name for programs: exact as JSON text, and its bytes where those are no valid text. */
export function nameForJson(name: string): { readonly name: string; readonly nameBytes?: string } {
  if (name.isWellFormed()) return { name };
  return { name, nameBytes: Buffer.from(nameToBytes(name)).toString('base64') };
}

/** Nothing here means anything to a shell, or to an eye that looks for where a name ends. */
const PLAIN = /^[\w./:@%+,-][\w./:@%+,=~^#-]*$/;
/** Says nothing to a shell beyond ASCII's own characters. */
const SHELL = /[\s!"$&'()*;<=>?[\\\]^`{|}#~]/;
/** Controls, formats (bidi among them), surrogates, unassigned, private, separators, fillers. */
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}/u;
const LEADING_MARK = /^\p{M}/u;
const MARK = /\p{M}/u;
const BYTE_FIRST = 0xdc80;
const BYTE_LAST = 0xdcff;

function quoted(name: string): string {
  if (name !== '' && !SHELL.test(name)) return name;
  if (name.includes("'")) return escaped(name, true);
  return `'${name}'`;
}

function escaped(name: string, isComposed: boolean): string {
  let shown = '';
  let isFirst = true;
  for (const character of name) {
    shown += escapedCharacter(character, MARK.test(character) && (isFirst || !isComposed));
    isFirst = false;
  }
  return `$'${shown}'`;
}

function escapedCharacter(character: string, isForced: boolean): string {
  if (character === '\\' || character === "'") return `\\${character}`;
  if (!isForced && !HIDDEN.test(character)) return character;
  const code = character.codePointAt(0) as number;
  if (code < 0x80) return `\\x${hex(code, 2)}`;
  if (code >= BYTE_FIRST && code <= BYTE_LAST) return `\\x${hex(code - 0xdc00, 2)}`;
  return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

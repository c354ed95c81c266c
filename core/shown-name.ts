import { nameToBytes } from './file-name.ts';

/**
 * How names that may be anything are shown to people. A shown name is one line, moves no cursor,
 * turns no text around, looks like no other name, and can be pasted into a shell: plain, in single
 * quotes, or as `$'…'` with `\xNN` for bytes and `\uNNNN` for characters that cannot be seen.
 */
export function showName(name: string): string {
  if (PLAIN.test(name)) return name;
  // Twins that differ in how an accent is composed must look different.
  const isComposed = name.normalize('NFC') === name;
  const isOdd = !isComposed || HIDDEN.test(name) || LEADING_MARK.test(name) || FLOOD.test(name);
  return isOdd ? escaped(name, isComposed) : quoted(name);
}

/** Text from a guest inside a message: nothing hidden, no line of its own; not quoted. */
export function showText(text: string): string {
  if (!HIDDEN.test(text)) return text;
  let shown = '';
  for (const character of text)
    shown += HIDDEN.test(character) ? escapedCharacter(character, true) : character;
  return shown;
}

/**
 * JSON text of a value, in which nothing is hidden and nothing moves a cursor: what would is written as
 * `\uNNNN`, and reads as the same.
 */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value);
  return HIDDEN.test(text) ? text.replaceAll(EVERY_HIDDEN, escapedUnits) : text;
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
const EVERY_HIDDEN = new RegExp(HIDDEN, 'gu');
/** So many marks on one letter cover the lines above and below it. */
const MARKS_MAX = 4;
const FLOOD = new RegExp(`\\p{M}{${MARKS_MAX + 1}}`, 'u');
/** Vowels and finals of Hangul, which join the letter before them. */
const JOINING = /[\u1160-\u11ff\ud7b0-\ud7ff]/;
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
  let marks = MARKS_MAX;
  for (const character of name) {
    marks = MARK.test(character) ? marks + 1 : 0;
    const isForced = marks > MARKS_MAX || (!isComposed && isPartOfOther(character));
    shown += escapedCharacter(character, isForced);
  }
  return `$'${shown}'`;
}

/** Whether a composed name has another character in its place. */
function isPartOfOther(character: string): boolean {
  return (
    MARK.test(character) || JOINING.test(character) || character.normalize('NFC') !== character
  );
}

/** In JSON, a character beyond 16 bits is two. */
function escapedUnits(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${hex(unit.charCodeAt(0), 4)}`)
    .join('');
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

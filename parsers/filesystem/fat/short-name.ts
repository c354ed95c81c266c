import { NAME_E5 } from './layout.ts';

/**
 * Code page 437, upper half: what DOS of the United States wrote, and what Linux and mtools take where
 * a volume does not say. FAT records no code page.
 */
const CODE_PAGE_437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐' +
  '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';

const BASE_LENGTH = 8;
const NAME_LENGTH = 11;
const BLANK = 0x20;
/** Flags in DIR_NTRes. */
const LOWER_BASE = 0x08;
const LOWER_EXTENSION = 0x10;

/** The 8.3 name of an entry, with its dot; `flags` are DIR_NTRes. */
export function shortNameOf(entry: Uint8Array, at: number, flags = 0): string {
  const base = part(entry, at, at + BASE_LENGTH, (flags & LOWER_BASE) !== 0);
  const extensionAt = at + BASE_LENGTH;
  const extension = part(entry, extensionAt, at + NAME_LENGTH, (flags & LOWER_EXTENSION) !== 0);
  return extension === '' ? base : `${base}.${extension}`;
}

/** The label that a volume's root directory holds: eleven characters and no dot. */
export function labelOf(entry: Uint8Array, at: number): string {
  return part(entry, at, at + NAME_LENGTH, false);
}

/** "FAT Long Directory Entries": of the 11 bytes of the short name. */
export function shortNameChecksum(entry: Uint8Array, at: number): number {
  let sum = 0;
  for (let index = at; index < at + NAME_LENGTH; index += 1) {
    sum = (((sum & 1) << 7) + (sum >> 1) + (entry[index] as number)) & 0xff;
  }
  return sum;
}

/** Padded with blanks; Linux and mtools end it at a NUL too, which is allowed nowhere in it. */
function part(entry: Uint8Array, from: number, to: number, isLower: boolean): string {
  const nul = entry.indexOf(0, from);
  let end = nul < 0 || nul > to ? to : nul;
  while (end > from && entry[end - 1] === BLANK) end -= 1;
  let name = '';
  for (let index = from; index < end; index += 1) {
    const byte = entry[index] as number;
    name += letter(index === from && byte === NAME_E5 ? 0xe5 : byte);
  }
  return isLower ? name.toLowerCase() : name;
}

function letter(byte: number): string {
  return byte < 0x80 ? String.fromCharCode(byte) : (CODE_PAGE_437[byte - 0x80] as string);
}

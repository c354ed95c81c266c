import { nameFromBytes } from '../../../core/index.ts';

/** In which of its trees a volume is read, and so how names are written in it. */
export type NameKind = 'Rock Ridge' | 'Joliet' | 'plain';

const DOT = 0x2e;
const SEMICOLON = 0x3b;
const SLASH = 0x2f;
const ONE = 0x31;

/**
 * A name of ECMA-119 as Linux shows it by default (`map=normal`): lower case, without version 1 and the
 * dot before it; another version stands behind a dot.
 */
export function plainName(stored: Uint8Array): string {
  const length = stored.length;
  let end = length;
  if (stored[length - 2] === SEMICOLON && stored[length - 1] === ONE) {
    end = stored[length - 3] === DOT ? length - 3 : length - 2;
  }
  const shown = stored.slice(0, end).map((byte) => {
    if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20;
    return byte === SEMICOLON || byte === SLASH ? DOT : byte;
  });
  return nameFromBytes(shown);
}

/**
 * A Joliet name: UCS-2, in fact UTF-16, highest byte first. As in Linux, without version 1 and without
 * dots at its end.
 */
export function jolietName(stored: Uint8Array): string {
  const name = bigEndianText(stored).replace(/;1$/, '');
  const bare = name.replace(/\.+$/, '');
  return bare === '' ? name.slice(0, 1) : bare;
}

/** Text of 16-bit units, highest byte first; lone surrogates stay. */
export function bigEndianText(stored: Uint8Array): string {
  let text = '';
  for (let at = 0; at + 1 < stored.length; at += 2) {
    text += String.fromCharCode(((stored[at] as number) << 8) | (stored[at + 1] as number));
  }
  return text;
}

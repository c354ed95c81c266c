/**
 * File names as text without loss. Linux names are bytes, most often UTF-8; Windows names are 16-bit
 * units, most often UTF-16. Both fit a JavaScript string: a byte that is not part of valid UTF-8
 * becomes the lone surrogate U+DC00 + byte (as Python's `surrogateescape`, PEP 383, does it), and a
 * lone surrogate of a Windows name stays what it is.
 */
const ESCAPED_FIRST = 0xdc80;
const ESCAPED_LAST = 0xdcff;
/** V8's `ConsString::kMinLength` less one. */
const LOOPED_BYTES_MAX = 12;
/** The memory that a name was read from last: most come from the same few buffers. */
let held: Buffer = Buffer.alloc(0);
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The name that these bytes are. */
export function nameFromBytes(bytes: Uint8Array): string {
  const plain = asciiText(bytes);
  if (plain !== undefined) return plain;
  try {
    return strict.decode(bytes);
  } catch {
    return escaping(bytes);
  }
}

/** The bytes of a name: what `nameFromBytes` was given, or UTF-8. */
export function nameToBytes(name: string): Uint8Array {
  if (name.isWellFormed()) return Buffer.from(name, 'utf8');
  const parts: Uint8Array[] = [];
  for (const character of name) {
    const unit = character.codePointAt(0) as number;
    if (unit >= ESCAPED_FIRST && unit <= ESCAPED_LAST) parts.push(Uint8Array.of(unit - 0xdc00));
    else if (unit >= 0xd800 && unit <= 0xdfff) parts.push(surrogateBytes(unit));
    else parts.push(Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

/**
 * Most names are ASCII and short: loops beat the decoder. Text that grows beyond what V8 copies at
 * once would be kept as a chain of its letters, twenty times as large.
 */
function asciiText(bytes: Uint8Array): string | undefined {
  const { byteLength } = bytes;
  if (byteLength > LOOPED_BYTES_MAX) {
    for (let index = 0; index < byteLength; index += 1) {
      if ((bytes[index] as number) >= 0x80) return undefined;
    }
    if (held.buffer !== bytes.buffer) held = Buffer.from(bytes.buffer);
    return held.toString('latin1', bytes.byteOffset, bytes.byteOffset + byteLength);
  }
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x80) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Decodes as much as is valid, byte by escaped byte in between. */
function escaping(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.byteLength; ) {
    const length = sequenceLength(bytes, at);
    if (length === 0) text += String.fromCharCode(0xdc00 + (bytes[at] as number));
    else text += strict.decode(bytes.subarray(at, at + length));
    at += Math.max(1, length);
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at`, or 0. Unicode 15, table 3-7. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  const length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length < 2) return length;
  if (lead > 0xf4 || at + length > bytes.byteLength) return 0;
  const second = bytes[at + 1] as number;
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let index = 2; index < length; index += 1) {
    if (((bytes[at + index] as number) & 0xc0) !== 0x80) return 0;
  }
  return length;
}

/** A surrogate outside the escapes, from a Windows name: its three bytes as WTF-8 has them. */
function surrogateBytes(unit: number): Uint8Array {
  return Uint8Array.of(0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f));
}

/** A match is at least this long, whatever its token says. LZ4 Block Format Description. */
const MATCH_BYTES_MIN = 4;
/** A length of this much in a token's half continues in the bytes behind it. */
const LENGTH_CONTINUES = 15;

/**
 * Decompresses one LZ4 block in plain JavaScript, for processes that may not load native code.
 * Format: LZ4 Block Format Description, `doc/lz4_Block_format.md` of the reference implementation.
 *
 * @param plainBytes the exact length it must have.
 * @throws Error when the block is anything else than that.
 */
export function decodeLz4Block(stored: Uint8Array, plainBytes: number): Uint8Array {
  const plain = new Uint8Array(plainBytes);
  const end = stored.byteLength;
  let from = 0;
  let to = 0;
  while (from < end) {
    const token = stored[from] as number;
    from += 1;
    let literals = token >>> 4;
    if (literals === LENGTH_CONTINUES) {
      for (let more = 255; more === 255; from += 1) {
        if (from >= end) throw damaged();
        more = stored[from] as number;
        literals += more;
      }
    }
    if (from + literals > end || to + literals > plainBytes) throw damaged();
    copyForward(plain, to, stored, from, literals);
    from += literals;
    to += literals;
    // The last sequence ends with its literals.
    if (from === end) break;
    if (from + 2 > end) throw damaged();
    const distance = (stored[from] as number) | ((stored[from + 1] as number) << 8);
    from += 2;
    let match = token & 0xf;
    if (match === LENGTH_CONTINUES) {
      for (let more = 255; more === 255; from += 1) {
        if (from >= end) throw damaged();
        more = stored[from] as number;
        match += more;
      }
    }
    match += MATCH_BYTES_MIN;
    if (distance === 0 || distance > to || to + match > plainBytes) throw damaged();
    copyMatch(plain, to, distance, match);
    to += match;
  }
  if (to !== plainBytes) throw damaged();
  return plain;
}

/** Below this, a loop is quicker than a call. */
const SHORT_BYTES = 32;

function copyForward(
  target: Uint8Array,
  to: number,
  source: Uint8Array,
  from: number,
  length: number,
): void {
  if (length > SHORT_BYTES) {
    target.set(source.subarray(from, from + length), to);
    return;
  }
  for (let index = 0; index < length; index += 1)
    target[to + index] = source[from + index] as number;
}

/** A match may overlap what it writes: then it repeats its beginning. */
function copyMatch(plain: Uint8Array, to: number, distance: number, length: number): void {
  if (distance >= length && length > SHORT_BYTES) {
    plain.copyWithin(to, to - distance, to - distance + length);
    return;
  }
  for (let index = 0; index < length; index += 1) {
    plain[to + index] = plain[to - distance + index] as number;
  }
}

function damaged(): Error {
  return new Error('not an LZ4 block of the stated length');
}

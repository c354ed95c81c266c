/**
 * The hashes by which a directory's tree is ordered: kernel documentation, filesystems/ext4, "Hash
 * Tree Directories"; `fs/ext4/hash.c`. Words are 32 bits, kept as JavaScript's signed integers.
 */
export interface NameHash {
  readonly major: number;
  readonly minor: number;
}

/** `dx_root.dx_hash_info.hash_version`; 3 to 5 are the same over unsigned characters. */
const HALF_MD4 = 1;
const TEA = 2;
const UNSIGNED_FIRST = 3;
const VERSIONS = 6;

/** Marks the end of a directory for readers, and so names never have it. */
const END_OF_DIRECTORY = 0xffff_fffe;
const INITIAL: readonly number[] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

/** @returns `undefined` when the version is none of these (SipHash needs the directory's key). */
export function hashName(
  name: Uint8Array,
  version: number,
  seed: Uint8Array,
): NameHash | undefined {
  if (version < 0 || version >= VERSIONS) return undefined;
  const isUnsigned = version >= UNSIGNED_FIRST;
  const kind = version % UNSIGNED_FIRST;
  const bytes = isUnsigned ? name : new Int8Array(name.buffer, name.byteOffset, name.byteLength);
  const [major, minor] =
    kind === HALF_MD4 || kind === TEA
      ? transformed(bytes, kind, stateFrom(seed))
      : [legacy(bytes), 0];
  const even = (major & ~1) >>> 0;
  return { major: even === END_OF_DIRECTORY ? END_OF_DIRECTORY - 2 : even, minor: minor >>> 0 };
}

function stateFrom(seed: Uint8Array): Int32Array {
  const state = Int32Array.from(INITIAL, (word) => word | 0);
  if (seed.every((byte) => byte === 0)) return state;
  const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength);
  return state.map((_, index) => view.getInt32(index * 4, true));
}

function transformed(
  bytes: Uint8Array | Int8Array,
  kind: number,
  state: Int32Array,
): [major: number, minor: number] {
  const wordCount = kind === TEA ? 4 : 8;
  for (let at = 0; at < bytes.length; at += wordCount * 4) {
    const words = packed(bytes, at, wordCount);
    if (kind === TEA) tea(state, words);
    else halfMd4(state, words);
  }
  return kind === TEA
    ? [state[0] as number, state[1] as number]
    : [state[1] as number, state[2] as number];
}

/** The next bytes as words, padded with how many were left. */
function packed(bytes: Uint8Array | Int8Array, start: number, wordCount: number): Int32Array {
  const left = bytes.length - start;
  const pair = left | (left << 8);
  const padding = pair | (pair << 16);
  const words = new Int32Array(wordCount).fill(padding);
  const used = Math.min(left, wordCount * 4);
  let value = padding;
  for (let index = 0; index < used; index += 1) {
    value = ((bytes[start + index] as number) + (value << 8)) | 0;
    if (index % 4 === 3) {
      words[index >> 2] = value;
      value = padding;
    }
  }
  if (used % 4 !== 0) words[used >> 2] = value;
  return words;
}

function legacy(bytes: Uint8Array | Int8Array): number {
  let older = 0x12a3fe2d;
  let newer = 0x37abe8f9;
  for (const byte of bytes) {
    let hash = (newer + (older ^ Math.imul(byte, 7_152_373))) | 0;
    if (hash < 0) hash = (hash - 0x7fff_ffff) | 0;
    newer = older;
    older = hash;
  }
  return older << 1;
}

function tea(state: Int32Array, words: Int32Array): void {
  const [a, b, c, d] = words as unknown as [number, number, number, number];
  let first = state[0] as number;
  let second = state[1] as number;
  let sum = 0;
  for (let round = 0; round < 16; round += 1) {
    sum = (sum + 0x9e37_79b9) | 0;
    first = (first + (((second << 4) + a) ^ (second + sum) ^ ((second >>> 5) + b))) | 0;
    second = (second + (((first << 4) + c) ^ (first + sum) ^ ((first >>> 5) + d))) | 0;
  }
  state[0] = (state[0] as number) + first;
  state[1] = (state[1] as number) + second;
}

type Mix = (x: number, y: number, z: number) => number;

/** Mixing function, constant, order of the words, and shifts of each of the three rounds. */
const ROUNDS: readonly (readonly [Mix, number, readonly number[], readonly number[]])[] = [
  [(x, y, z) => z ^ (x & (y ^ z)), 0, [0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19]],
  [(x, y, z) => (x & y) + ((x ^ y) & z), 0x5a82_7999, [1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13]],
  [(x, y, z) => x ^ y ^ z, 0x6ed9_eba1, [3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15]],
];

function halfMd4(state: Int32Array, words: Int32Array): void {
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  for (const [mix, constant, order, shifts] of ROUNDS) {
    for (const [step, index] of order.entries()) {
      const sum = (a + mix(b, c, d) + (words[index] as number) + constant) | 0;
      const shift = shifts[step % 4] as number;
      const turned = (sum << shift) | (sum >>> (32 - shift));
      a = d;
      d = c;
      c = b;
      b = turned;
    }
  }
  for (const [index, value] of [a, b, c, d].entries()) {
    state[index] = (state[index] as number) + value;
  }
}

/** Names by chance: plain, long, of every script, hostile, and not even text. */
import type { Random } from '../../fixtures/disks/random.ts';

/** What a file system's names may be made of. */
export type NameKind = 'bytes' | 'windows' | 'fat';

const LETTERS = [
  'abcdefghijklmnopqrstuvwxyz',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',
  'äöüßÄÖÜéèêñçøÅłŁıİ',
  'абвгдежзАБВГДЕЖЗ',
  'αβγδεςσΣΩ',
  '日本語漢字한국어ไทย',
  " .-_+=,;[](){}!@#$%&~^`'",
  'e\u0301a\u0308o\u0302\u200d\u202e\ufeff',
] as const;
const BEYOND = ['\u{1f600}', '\u{1f984}', '\u{10ffff}', '\u{20000}'] as const;
/** What Linux allows and little else does. */
const UNTAMED = [
  '\n',
  '\u001b[31m',
  '\\',
  ':',
  '*',
  '?',
  '"',
  '<',
  '>',
  '|',
  '\t',
  '\u0001',
] as const;
/** Bytes that are no UTF-8, as `core/file-name.ts` has them. */
const ESCAPED = ['\udc80', '\udcff', '\udcc3', '\udced\udca0\udc80'] as const;
const DEVICES = ['CON', 'nul', 'aux.txt', 'com1', '...', '.hidden', '-rf', '~', '#1'] as const;

const LIMIT_BYTES = 255;
const LIMIT_UNITS = 255;

/** One that is not in `taken`, which gains it (case folded, for kinds that fold it). */
export function randomName(random: Random, kind: NameKind, taken: Set<string>): string {
  for (;;) {
    const name = tamed(drawn(random, kind), kind);
    const key = kind === 'bytes' ? name : name.normalize('NFC').toLowerCase();
    if (name === '' || name === '.' || name === '..' || taken.has(key)) continue;
    taken.add(key);
    return name;
  }
}

function drawn(random: Random, kind: NameKind): string {
  if (random.below(30) === 0) return `${random.pick(DEVICES)}${random.below(3) || ''}`;
  const length = random.pick([1, 2, 3, 5, 8, 8, 11, 12, 13, 14, 20, 26, 39, 60, 100, 254, 255]);
  const letters = random.pick(LETTERS);
  let name = '';
  for (let index = 0; index < length; index += 1) {
    const chance = random.below(40);
    if (chance === 0) name += random.pick(BEYOND);
    else if (chance === 1 && kind === 'bytes') name += random.pick(UNTAMED);
    else if (chance === 2 && kind === 'bytes') name += random.pick(ESCAPED);
    else name += random.pick([...(chance < 8 ? random.pick(LETTERS) : letters)]);
  }
  return random.below(3) === 0 ? `${name}.${random.pick(['txt', 'TXT', 'jpeg', 'tar.gz'])}` : name;
}

/** Cuts a name to what its file system holds. */
function tamed(name: string, kind: NameKind): string {
  let cut = name;
  if (kind === 'bytes') {
    while (lengthBytes(cut) > LIMIT_BYTES) cut = cut.slice(0, -1);
    // Cutting a pair in two would leave a surrogate that is no escaped byte.
    return endsInHalf(cut) ? cut.slice(0, -1) : cut;
  }
  if (kind === 'fat') cut = cut.replaceAll(/[\u{10000}-\u{10ffff}]/gu, 'x');
  cut = cut.slice(0, kind === 'fat' ? 200 : LIMIT_UNITS);
  if (endsInHalf(cut)) cut = cut.slice(0, -1);
  // What passes through a mount is counted in bytes as well.
  while (lengthBytes(cut) > LIMIT_BYTES) cut = cut.slice(0, endsInPair(cut) ? -2 : -1);
  cut = cut.replaceAll(/^[ .]+|[ .]+$/gu, '');
  // Which code page the letters of a short name are of, no volume tells: readers take different ones.
  return kind === 'fat' && cut.length < 13 && /[^\x20-\x7e]/u.test(cut)
    ? `${cut} is not short`
    : cut;
}

const endsInHalf = (name: string): boolean => /[\ud800-\udbff]$/u.test(name);
const endsInPair = (name: string): boolean => /[\u{10000}-\u{10ffff}]$/u.test(name);

/** Escaped bytes count one each. */
function lengthBytes(name: string): number {
  let bytes = 0;
  for (const character of name) {
    bytes += /[\udc80-\udcff]/u.test(character) ? 1 : Buffer.byteLength(character);
  }
  return bytes;
}

import { type HealthLog, layout } from '../../../core/index.ts';

/** How a volume treats the case of names: by the table in its `$UpCase`, unit by UTF-16 unit. */
export interface CaseRules {
  /** The name in capitals; two names are one to Windows when theirs are equal. */
  fold(name: string): string;
  /**
   * The order of names in an index, less than, equal to or greater than zero: by capitals, a name
   * before all that it begins ([MS-FSA] 2.1.4.2, collation `FILE_NAME`). Names that differ in case
   * alone are equal here; an index that holds both (`File`, `file`) has them side by side.
   */
  compare(one: string, other: string): number;
}

const UNIT_COUNT = 65_536;
const TABLE_BYTES = UNIT_COUNT * 2;
const ASCII_ONLY = /^[\0-\x7f]*$/;

/**
 * The rules of a volume.
 *
 * A damaged table would make names unfindable, so it is not used: the rules are then those of
 * Unicode (what `toUpperCase` maps to one unit of the basic plane and back), which differ from
 * Windows' own table for letters younger than it and some Greek ones.
 *
 * @param table the content of `$UpCase`, `undefined` when it cannot be read.
 * @param information the content of its stream `$Info`, which Windows 8 and later write: the table's
 *   CRC-64 is in it.
 */
export function caseRulesOf(
  table: Uint8Array | undefined,
  information: Uint8Array | undefined,
  health: HealthLog,
): CaseRules {
  const fault = table === undefined ? 'it cannot be read' : faultOf(table, information);
  if (table !== undefined && fault === undefined) return new TableRules(unitsOf(table));
  health.note('partly damaged', {
    message:
      `the table of capital letters is damaged (${fault}); ` +
      'names are compared as Unicode has it',
    where: { structure: '$UpCase' },
  });
  return new TableRules(unicodeUnits());
}

class TableRules implements CaseRules {
  readonly #units: Uint16Array;

  constructor(units: Uint16Array) {
    this.#units = units;
  }

  fold(name: string): string {
    // Every table that is used has the ASCII letters right.
    if (ASCII_ONLY.test(name)) return name.toUpperCase();
    const folded: number[] = [];
    for (let index = 0; index < name.length; index += 1) {
      folded.push(this.#units[name.charCodeAt(index)] as number);
    }
    return text(folded);
  }

  compare(one: string, other: string): number {
    const units = this.#units;
    const shared = Math.min(one.length, other.length);
    for (let index = 0; index < shared; index += 1) {
      const left = units[one.charCodeAt(index)] as number;
      const right = units[other.charCodeAt(index)] as number;
      if (left !== right) return left - right;
    }
    return one.length - other.length;
  }
}

const PIECE_UNITS = 4096;

/** Arguments of a call are bounded; names on disk are 255 units, but callers may ask for anything. */
function text(units: readonly number[]): string {
  if (units.length <= PIECE_UNITS) return String.fromCharCode(...units);
  let whole = '';
  for (let at = 0; at < units.length; at += PIECE_UNITS) {
    whole += String.fromCharCode(...units.slice(at, at + PIECE_UNITS));
  }
  return whole;
}

/** What is wrong with a table. One that is off in a few places is only found out by its CRC. */
function faultOf(table: Uint8Array, information: Uint8Array | undefined): string | undefined {
  if (table.byteLength !== TABLE_BYTES) return `${table.byteLength} bytes long`;
  const units = unitsOf(table);
  for (let unit = 0; unit < 0x80; unit += 1) {
    const capital = unit >= 0x61 && unit <= 0x7a ? unit - 0x20 : unit;
    if (units[unit] !== capital) return `unit ${unit} becomes ${units[unit]}`;
  }
  for (let unit = 0; unit < UNIT_COUNT; unit += 1) {
    const capital = units[unit] as number;
    if (units[capital] !== capital) return `unit ${unit} becomes ${capital}, which is no capital`;
  }
  return information === undefined ? undefined : faultByChecksum(table, information);
}

/** `$UpCase:$Info`, as `mkntfs` lays it out: its length, a gap, the CRC, the version of Windows. */
const Information = { length: layout.u32le(0), crcLow: layout.u32le(8), crcHigh: layout.u32le(12) };
const INFORMATION_BYTES = 32;

function faultByChecksum(table: Uint8Array, information: Uint8Array): string | undefined {
  // Another layout than the one known says nothing about the table.
  if (information.byteLength < INFORMATION_BYTES) return undefined;
  const view = layout.viewOf(information);
  if (Information.length(view) !== INFORMATION_BYTES) return undefined;
  const { low, high } = crc64(table);
  const isRight = low === Information.crcLow(view) && high === Information.crcHigh(view);
  return isRight ? undefined : 'its checksum is wrong';
}

function unitsOf(table: Uint8Array): Uint16Array {
  const view = layout.viewOf(table);
  const units = new Uint16Array(UNIT_COUNT);
  for (let unit = 0; unit < UNIT_COUNT; unit += 1) units[unit] = view.getUint16(unit * 2, true);
  return units;
}

function unicodeUnits(): Uint16Array {
  const units = new Uint16Array(UNIT_COUNT);
  for (let unit = 0; unit < UNIT_COUNT; unit += 1) {
    const letter = String.fromCharCode(unit);
    const capital = letter.toUpperCase();
    const isPair = capital.length === 1 && capital.toLowerCase() === letter;
    units[unit] = isPair ? capital.charCodeAt(0) : unit;
  }
  return units;
}

const POLYNOMIAL_LOW = 0xac4bc9b5;
const POLYNOMIAL_HIGH = 0x9a6c9329;

/** The reflected CRC-64 that Windows uses here, in two halves, unsigned. */
function crc64(data: Uint8Array): { readonly low: number; readonly high: number } {
  const { lows, highs } = crcTables();
  let low = 0xffffffff;
  let high = 0xffffffff;
  for (const byte of data) {
    const index = (low ^ byte) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ (lows[index] as number);
    high = (high >>> 8) ^ (highs[index] as number);
  }
  return { low: ~low >>> 0, high: ~high >>> 0 };
}

function crcTables(): { readonly lows: Uint32Array; readonly highs: Uint32Array } {
  const lows = new Uint32Array(256);
  const highs = new Uint32Array(256);
  for (let index = 0; index < 256; index += 1) {
    let low = index;
    let high = 0;
    for (let bit = 0; bit < 8; bit += 1) {
      const carries = (low & 1) === 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (carries) {
        low ^= POLYNOMIAL_LOW;
        high ^= POLYNOMIAL_HIGH;
      }
    }
    lows[index] = low;
    highs[index] = high;
  }
  return { lows, highs };
}

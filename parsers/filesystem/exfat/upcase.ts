const UNIT_COUNT = 65_536;
/** In the compressed form: as many units as follow are their own capitals. */
const IDENTITY_RUN = 0xffff;
const ASCII_ONLY = /^[\0-\x7f]*$/;
const IS_CAPITAL = /^[^a-z]*$/;

/** How a volume makes names equal: by its table of capital letters, unit by UTF-16 unit. */
export class Upcase {
  readonly #units: Uint16Array;

  /** @param table the stored table (section 7.2.5), compressed or not; none is the Latin letters. */
  constructor(table: Uint8Array | undefined) {
    this.#units = table === undefined ? latinUnits() : unpack(table);
  }

  fold(name: string): string {
    if (ASCII_ONLY.test(name) && IS_CAPITAL.test(name)) return name;
    let folded = '';
    for (let index = 0; index < name.length; index += 1) {
      folded += String.fromCharCode(this.#units[name.charCodeAt(index)] as number);
    }
    return folded;
  }
}

function identityUnits(): Uint16Array {
  const units = new Uint16Array(UNIT_COUNT);
  for (let unit = 0; unit < UNIT_COUNT; unit += 1) units[unit] = unit;
  return units;
}

/** What every table must have, section 7.2.5.1. */
function latinUnits(): Uint16Array {
  const units = identityUnits();
  for (let unit = 0x61; unit <= 0x7a; unit += 1) units[unit] = unit - 0x20;
  return units;
}

function unpack(table: Uint8Array): Uint16Array {
  const units = identityUnits();
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  let unit = 0;
  for (let at = 0; at + 2 <= table.byteLength && unit < UNIT_COUNT; at += 2) {
    const value = view.getUint16(at, true);
    if (value === IDENTITY_RUN && at + 4 <= table.byteLength) {
      at += 2;
      unit += view.getUint16(at, true);
    } else {
      units[unit] = value;
      unit += 1;
    }
  }
  return units;
}

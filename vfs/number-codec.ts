/** Numbers below this are one byte; it and the two above it say how many bytes follow. */
const SHORT_LIMIT = 0xfd;
const CODE = { TWO: 0xfd, FOUR: 0xfe, EIGHT: 0xff } as const;
/** Of one number. */
export const NUMBER_BYTES_MAX = 9;

/** Writes `value`, any number at all, in as few bytes as it needs. @returns the offset behind it. */
export function putNumber(view: DataView, at: number, value: number): number {
  const isWhole = value >= 0 && value <= 0xffff_ffff && Number.isInteger(value);
  if (isWhole && value < SHORT_LIMIT) {
    view.setUint8(at, value);
    return at + 1;
  }
  if (isWhole && value <= 0xffff) {
    view.setUint8(at, CODE.TWO);
    view.setUint16(at + 1, value, true);
    return at + 3;
  }
  if (isWhole) {
    view.setUint8(at, CODE.FOUR);
    view.setUint32(at + 1, value, true);
    return at + 5;
  }
  view.setUint8(at, CODE.EIGHT);
  view.setFloat64(at + 1, value, true);
  return at + NUMBER_BYTES_MAX;
}

/** Reads what {@link putNumber} wrote, one number after the other. */
export class NumberReader {
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;

  moveTo(view: DataView, at: number): void {
    this.#view = view;
    this.#at = at;
  }

  next(): number {
    const at = this.#at;
    const first = this.#view.getUint8(at);
    if (first < SHORT_LIMIT) {
      this.#at = at + 1;
      return first;
    }
    if (first === CODE.TWO) {
      this.#at = at + 3;
      return this.#view.getUint16(at + 1, true);
    }
    if (first === CODE.FOUR) {
      this.#at = at + 5;
      return this.#view.getUint32(at + 1, true);
    }
    this.#at = at + NUMBER_BYTES_MAX;
    return this.#view.getFloat64(at + 1, true);
  }
}

/** Which end of a byte stands for its first sector. */
export type BitOrder = 'most significant first' | 'least significant first';

/** A stretch of sectors that share one bit value. */
export interface BitRun {
  readonly set: boolean;
  /** At least 1, at most the count asked for. */
  readonly count: number;
}

/** The run of equal bits from bit `first` of a sector bitmap on, at most `limit` bits long. */
export function bitRun(bits: Uint8Array, first: number, limit: number, order: BitOrder): BitRun {
  const set = bitAt(bits, first, order);
  const whole = set ? 0xff : 0;
  let count = 1;
  while (count < limit) {
    const at = first + count;
    if (at % 8 === 0 && limit - count >= 8 && bits[at >>> 3] === whole) count += 8;
    else if (bitAt(bits, at, order) === set) count += 1;
    else break;
  }
  return { set, count };
}

function bitAt(bits: Uint8Array, at: number, order: BitOrder): boolean {
  const byte = bits[at >>> 3];
  if (byte === undefined) throw new RangeError(`bit ${at} of a bitmap of ${bits.byteLength} bytes`);
  const shift = order === 'most significant first' ? 7 - (at & 7) : at & 7;
  return ((byte >>> shift) & 1) === 1;
}

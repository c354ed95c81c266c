import { RestoreError } from './errors.ts';

/**
 * Checked readers for fixed byte layouts. A structure is an object of readers, one a field, that
 * looks like the table in its specification:
 *
 * ```ts
 * const Header = { magic: u32be(0), version: u32be(4), size: u64be(24) } as const;
 * Header.size(view, at)
 * ```
 *
 * `DataView` checks every access; a read past the end throws `CORRUPT`, never yields 0.
 */
export type Field<T> = (view: DataView, at?: number) => T;

function field<T>(read: (view: DataView, position: number) => T, offset: number): Field<T> {
  return (view, at = 0) => {
    try {
      return read(view, at + offset);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new RestoreError('CORRUPT', 'a structure ends before its last field', {
        where: { offset: at + offset, found: `${view.byteLength} bytes` },
        cause: error,
      });
    }
  };
}

export const u8 = (offset: number): Field<number> => field((view, at) => view.getUint8(at), offset);
export const u16le = (offset: number): Field<number> =>
  field((view, at) => view.getUint16(at, true), offset);
export const u32le = (offset: number): Field<number> =>
  field((view, at) => view.getUint32(at, true), offset);
export const u16be = (offset: number): Field<number> =>
  field((view, at) => view.getUint16(at), offset);
export const u32be = (offset: number): Field<number> =>
  field((view, at) => view.getUint32(at), offset);

/** 64 bits as a number; a value above 2^53 - 1 throws `CORRUPT` rather than lose bits. */
export const u64le = (offset: number): Field<number> =>
  field((view, at) => join(view.getUint32(at + 4, true), view.getUint32(at, true), at), offset);
export const u64be = (offset: number): Field<number> =>
  field((view, at) => join(view.getUint32(at), view.getUint32(at + 4), at), offset);

/** 64 bits whole, for flags, times and hashes. */
export const bits64le = (offset: number): Field<bigint> =>
  field((view, at) => view.getBigUint64(at, true), offset);
export const bits64be = (offset: number): Field<bigint> =>
  field((view, at) => view.getBigUint64(at), offset);

/** `length` bytes as a view (not a copy). */
export const bytes = (offset: number, length: number): Field<Uint8Array> =>
  field((view, at) => new Uint8Array(view.buffer, checkedStart(view, at, length), length), offset);

/** `length` bytes as text, cut at the first NUL and with trailing blanks removed. */
export const text = (
  offset: number,
  length: number,
  encoding: 'utf-8' | 'latin1' | 'utf-16le' = 'utf-8',
): Field<string> => {
  const raw = bytes(offset, length);
  return (view, at = 0) => {
    const decoded = new TextDecoder(encoding).decode(raw(view, at));
    const end = decoded.indexOf('\0');
    return (end < 0 ? decoded : decoded.slice(0, end)).trimEnd();
  };
};

/** A `DataView` of exactly the bytes of `array`. */
export function viewOf(array: Uint8Array): DataView {
  return new DataView(array.buffer, array.byteOffset, array.byteLength);
}

function join(high: number, low: number, at: number): number {
  if (high > 0x1f_ffff) {
    throw new RestoreError('CORRUPT', 'a 64-bit value is beyond what any disk can hold', {
      where: {
        offset: at,
        expected: 'at most 2^53 - 1',
        found: `high word ${high}`,
      },
    });
  }
  return high * 2 ** 32 + low;
}

function checkedStart(view: DataView, at: number, length: number): number {
  if (at < 0 || at + length > view.byteLength) throw new RangeError('outside the view');
  return view.byteOffset + at;
}

import { addOnsAllowed } from './add-ons.ts';

/**
 * CRC-32C (Castagnoli): the iSCSI digest (RFC 7143 section 13.1, RFC 3385), and the checksum of VHDX
 * and ext4 metadata.
 *
 * Short inputs go through plain JavaScript: a call into the native module costs more than 48 bytes
 * take. So do all where native modules may not be loaded.
 */
type NativeCrc = (input: Uint8Array, initial?: number) => number;

const POLYNOMIAL_REFLECTED = 0x82f63b78;
const NATIVE_FROM_BYTES = 256;
const ZEROS = new Uint8Array(32);
/** RFC 7143 appendix A.4. */
const CRC_OF_ZEROS = 0x8a9136aa;
const TABLES = makeTables();
const native = await loadNative();

/** The CRC of `data`, continuing from the CRC of what came before it. */
export function crc32c(data: Uint8Array, previous = 0): number {
  return native !== undefined && data.length >= NATIVE_FROM_BYTES
    ? native(data, previous)
    : crc32cPortable(data, 0, data.length, previous);
}

/** The CRC of `data[start, end)` in plain JavaScript, eight bytes a step. */
export function crc32cPortable(
  data: Uint8Array,
  start = 0,
  end: number = data.length,
  previous = 0,
): number {
  let crc = ~previous;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low = crc ^ word(data, at);
    const high = word(data, at + 4);
    crc =
      entry(7, low & 0xff) ^
      entry(6, (low >>> 8) & 0xff) ^
      entry(5, (low >>> 16) & 0xff) ^
      entry(4, low >>> 24) ^
      entry(3, high & 0xff) ^
      entry(2, (high >>> 8) & 0xff) ^
      entry(1, (high >>> 16) & 0xff) ^
      entry(0, high >>> 24);
  }
  for (; at < end; at += 1) crc = (crc >>> 8) ^ entry(0, (crc ^ (data[at] as number)) & 0xff);
  return ~crc >>> 0;
}

function word(data: Uint8Array, at: number): number {
  return (
    (data[at] as number) |
    ((data[at + 1] as number) << 8) |
    ((data[at + 2] as number) << 16) |
    ((data[at + 3] as number) << 24)
  );
}

function entry(table: number, index: number): number {
  return TABLES[table * 256 + index] as number;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let index = 0; index < 256; index += 1) {
    let crc = index;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL_REFLECTED;
    }
    tables[index] = crc;
  }
  for (let at = 256; at < tables.length; at += 1) {
    const before = tables[at - 256] as number;
    tables[at] = (before >>> 8) ^ (tables[before & 0xff] as number);
  }
  return tables;
}

/** The prebuilt module, or nothing where it has no build, or where add-ons are not allowed. */
async function loadNative(): Promise<NativeCrc | undefined> {
  if (!addOnsAllowed()) return undefined;
  try {
    const loaded = await import('@node-rs/crc32');
    return loaded.crc32c(ZEROS) === CRC_OF_ZEROS ? loaded.crc32c : undefined;
  } catch {
    return undefined;
  }
}

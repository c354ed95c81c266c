import { nameToBytes } from '../../core/index.ts';

/** One record of a pax extended header: a keyword, and a value that may be any bytes. */
export interface PaxRecord {
  readonly keyword: string;
  readonly value: string | Uint8Array;
}

/**
 * The records as the data of an extended header: IEEE Std 1003.1-2017, `pax`, "pax Extended Header".
 * Each is `LENGTH KEYWORD=VALUE\n`, where the length counts its own digits. Text that is not valid
 * UTF-8 goes out as the bytes it was made of, announced by `hdrcharset`; so does text with an accent
 * written apart, which libarchive would else compose, making twins of two files.
 */
export function encodePax(records: readonly PaxRecord[]): Uint8Array {
  const isText = records.every(({ value }) => typeof value !== 'string' || isPlainText(value));
  const announced: readonly PaxRecord[] = isText
    ? records
    : [{ keyword: 'hdrcharset', value: 'BINARY' }, ...records];
  return Buffer.concat(announced.map(encodeRecord));
}

function isPlainText(value: string): boolean {
  return value.isWellFormed() && value.normalize('NFC') === value;
}

function encodeRecord({ keyword, value }: PaxRecord): Uint8Array {
  const bytes = typeof value === 'string' ? nameToBytes(value) : value;
  const head = Buffer.concat([Buffer.from(' '), nameToBytes(keyword), Buffer.from('=')]);
  const rest = head.byteLength + bytes.byteLength + 1;
  // The digits count themselves: one more may be needed than the first guess has.
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), head, bytes, Buffer.from('\n')]);
}

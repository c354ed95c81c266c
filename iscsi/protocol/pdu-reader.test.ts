import { describe, expect, it } from 'vitest';
import { crc32c, isRestoreError } from '../../core/index.ts';
import { Bhs, type IncomingPdu } from './bhs.ts';
import { PduReader } from './pdu-reader.ts';

interface Seen {
  readonly tag: number;
  readonly data: string;
}

function makeReader(maxDataBytes = 65_536): {
  reader: PduReader;
  seen: Seen[];
  badDigests: number[];
} {
  const seen: Seen[] = [];
  const badDigests: number[] = [];
  const tagOf = ({ view, at }: IncomingPdu): number => Bhs.initiatorTaskTag(view, at);
  const reader = new PduReader(
    {
      // The memory is only good during the call: copy.
      onPdu: (pdu) => seen.push({ tag: tagOf(pdu), data: Buffer.from(pdu.data).toString('hex') }),
      onDataDigestError: (pdu) => badDigests.push(tagOf(pdu)),
    },
    maxDataBytes,
  );
  return { reader, seen, badDigests };
}

function pduBytes(tag: number, data: Buffer, ahsWords = 0, digests = false): Buffer {
  const header = Buffer.alloc(48 + ahsWords * 4, 0xa5);
  header.fill(0, 0, 48);
  header.writeUInt32BE(ahsWords * 2 ** 24 + data.length, 4);
  header.writeUInt32BE(tag, 16);
  const padded = Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
  if (!digests) return Buffer.concat([header, padded]);
  const dataParts = data.length === 0 ? [] : [padded, digest(padded)];
  return Buffer.concat([header, digest(header), ...dataParts]);
}

function digest(bytes: Buffer): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(crc32c(bytes));
  return word;
}

const DATA = [0, 1, 3, 4, 48, 1000].map((length, index) => Buffer.alloc(length, index + 1));

describe('PduReader', () => {
  it.each([
    [false, 0],
    [false, 5],
    [true, 0],
    [true, 5],
  ])('cuts PDUs however the stream is split; digests %s, AHS words %i', (digests, ahsWords) => {
    const stream = Buffer.concat(
      DATA.map((data, index) => pduBytes(index, data, ahsWords, digests)),
    );
    for (const pieceBytes of [1, 7, 47, 48, 49, 53, 1000, stream.length]) {
      const { reader, seen } = makeReader();
      reader.headerDigest = digests;
      reader.dataDigest = digests;
      for (let at = 0; at < stream.length; at += pieceBytes) {
        reader.feed(stream.subarray(at, at + pieceBytes));
      }
      expect(seen).toEqual(DATA.map((data, tag) => ({ tag, data: data.toString('hex') })));
    }
  });

  it('refuses a data segment beyond the limit before it has come', () => {
    const { reader } = makeReader(512);
    reader.feed(pduBytes(1, Buffer.alloc(512)));
    let thrown: unknown;
    try {
      reader.feed(pduBytes(2, Buffer.alloc(513)).subarray(0, 48));
    } catch (error) {
      thrown = error;
    }
    expect(isRestoreError(thrown, 'INVALID')).toBe(true);
  });

  it('refuses a header whose digest is wrong', () => {
    const { reader } = makeReader();
    reader.headerDigest = true;
    const bytes = pduBytes(1, Buffer.alloc(0), 0, true);
    bytes.writeUInt8(1, 20);
    let thrown: unknown;
    try {
      reader.feed(bytes);
    } catch (error) {
      thrown = error;
    }
    expect(isRestoreError(thrown, 'CORRUPT')).toBe(true);
  });

  it('never hands over data whose digest is wrong', () => {
    const { reader, seen, badDigests } = makeReader();
    reader.headerDigest = true;
    reader.dataDigest = true;
    const bytes = pduBytes(9, Buffer.from('data'), 0, true);
    bytes.writeUInt8(bytes.readUInt8(53) ^ 1, 53);
    reader.feed(bytes);
    expect(seen).toEqual([]);
    expect(badDigests).toEqual([9]);
  });
});

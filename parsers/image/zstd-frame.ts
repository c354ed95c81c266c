import { layout } from '../../core/index.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const BLOCK_RLE = 1;

/**
 * The length in bytes of the Zstandard frame at the start of `data`, from its headers alone, so
 * that what follows it is not taken for another frame.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
 * @throws RangeError when `data` does not start with a whole frame.
 */
export function zstdFrameBytes(data: Uint8Array): number {
  const view = layout.viewOf(data);
  const magic = view.getUint32(0, true);
  if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
    return within(data, 8 + view.getUint32(4, true));
  }
  if (magic !== MAGIC) throw new RangeError('no Zstandard frame');
  const descriptor = view.getUint8(4);
  let at = 5 + headerBytes(descriptor);
  // Every block header is 3 bytes long, so the loop ends with the data at the latest.
  for (let last = false; !last; ) {
    const header = view.getUint16(at, true) + view.getUint8(at + 2) * 65536;
    last = (header & 1) === 1;
    at += 3 + (((header >>> 1) & 3) === BLOCK_RLE ? 1 : header >>> 3);
  }
  return within(data, at + ((descriptor & 4) === 0 ? 0 : 4));
}

/** Window descriptor, dictionary id and content size: RFC 8878, section 3.1.1.1.1. */
function headerBytes(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  const contentSize = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] as number;
  return (singleSegment ? 0 : 1) + dictionaryId + contentSize;
}

function within(data: Uint8Array, length: number): number {
  if (length <= data.byteLength) return length;
  throw new RangeError('the Zstandard frame is cut off');
}

import {
  type BlockSource,
  type Extent,
  layout,
  nameFromBytes,
  readBytes,
  RestoreError,
} from '../../../core/index.ts';
import { lvmChecksum } from './checksum.ts';

/** lib/format_text/layout.h of LVM2, `mda_header`; `raw_locn` from 40 on. */
const HEADER_BYTES = 512;
const Header = {
  checksum: layout.u32le(0),
  magic: layout.bytes(4, 16),
  version: layout.u32le(20),
  start: layout.u64le(24),
  size: layout.u64le(32),
} as const;
const Location = {
  offset: layout.u64le(40),
  size: layout.u64le(48),
  checksum: layout.u32le(56),
  flags: layout.u32le(60),
} as const;
const MAGIC = Buffer.from(' LVM2 x[5A%r0N*>', 'latin1');
const FLAG_IGNORED = 1;
const AREA_BYTES_MAX = 64 * 1024 * 1024;
const TEXT_BYTES_MAX = 32 * 1024 * 1024;

/**
 * The text that a metadata area holds now: it lies in a circular buffer behind the header, and goes on
 * at the buffer's start when it reaches the end.
 *
 * @param area relative to the physical volume's start.
 * @returns `undefined` for an area that is empty or set aside as ignored.
 * @throws RestoreError `CORRUPT`, `LIMIT`.
 */
export async function readMetadataText(
  volume: BlockSource,
  area: Extent,
): Promise<string | undefined> {
  if (area.length < 2 * HEADER_BYTES || area.offset + area.length > volume.size) {
    throw damaged(area, 'an area inside the physical volume', `${area.length} bytes`);
  }
  if (area.length > AREA_BYTES_MAX) throw tooLarge(area, AREA_BYTES_MAX, area.length);
  const header = await readBytes(volume, area.offset, HEADER_BYTES);
  const view = layout.viewOf(header);
  checkHeader(view, header, area);
  const offset = Location.offset(view);
  const size = Location.size(view);
  if (offset === 0 || (Location.flags(view) & FLAG_IGNORED) !== 0) return undefined;
  if (offset < HEADER_BYTES || offset >= area.length || size > area.length - HEADER_BYTES) {
    throw damaged(area, 'a text inside the area', `${size} bytes at ${offset}`);
  }
  if (size > TEXT_BYTES_MAX) throw tooLarge(area, TEXT_BYTES_MAX, size);
  const untilEnd = Math.min(size, area.length - offset);
  const text = new Uint8Array(size);
  await volume.readInto(text.subarray(0, untilEnd), area.offset + offset);
  await volume.readInto(text.subarray(untilEnd), area.offset + HEADER_BYTES);
  const found = lvmChecksum(text);
  const expected = Location.checksum(view);
  if (found !== expected) throw damaged(area, `text of checksum ${expected}`, `${found}`);
  return nameFromBytes(text.at(-1) === 0 ? text.subarray(0, -1) : text);
}

function checkHeader(view: DataView, header: Uint8Array, area: Extent): void {
  if (Buffer.compare(Header.magic(view), MAGIC) !== 0) {
    throw damaged(area, 'the magic of LVM2 metadata', 'other bytes');
  }
  const found = lvmChecksum(header.subarray(4));
  const expected = Header.checksum(view);
  if (found !== expected) throw damaged(area, `a header of checksum ${expected}`, `${found}`);
  if (Header.version(view) !== 1) {
    throw new RestoreError('UNSUPPORTED', 'LVM2 metadata of another version', {
      where: { structure: 'LVM2 metadata area', expected: 1, found: Header.version(view) },
    });
  }
  if (Header.start(view) !== area.offset || Header.size(view) !== area.length) {
    const place = `${Header.size(view)} bytes at ${Header.start(view)}`;
    throw damaged(area, `${area.length} bytes at ${area.offset}`, place);
  }
}

function damaged(area: Extent, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'a metadata area of a physical volume is damaged', {
    where: { structure: 'LVM2 metadata area', offset: area.offset, expected, found },
  });
}

function tooLarge(area: Extent, most: number, found: number): RestoreError {
  return new RestoreError('LIMIT', 'LVM2 metadata is larger than what is read', {
    where: {
      ...{ structure: 'LVM2 metadata area', offset: area.offset },
      ...{ expected: `at most ${most} bytes`, found },
    },
  });
}

import { crc32 } from 'node:zlib';
import { layout, RestoreError } from '../../core/index.ts';
import type { OverlayFile, OverlayFolder } from './folder.ts';
import { PAGE_BYTES } from './page-map.ts';
import { DATA_OFFSET } from './page-store.ts';

export const DATA_NAME = 'data';
const MAGIC = 'RHYDRDAT';
const CHECKED_BYTES = 32;

const Header = {
  magic: layout.text(0, 8, 'latin1'),
  overlayId: layout.bytes(16, 16),
  crc: layout.u32le(CHECKED_BYTES),
} as const;

/** The data file of an untouched disk: its header, and a hole. */
export async function createDataFile(
  folder: OverlayFolder,
  overlayId: string,
  pageCount: number,
): Promise<void> {
  const file = await folder.create(DATA_NAME);
  try {
    const header = Buffer.alloc(DATA_OFFSET);
    header.write(MAGIC, 0, 'latin1');
    header.write(overlayId, 16, 'hex');
    header.writeUInt32LE(crc32(header.subarray(0, CHECKED_BYTES)), CHECKED_BYTES);
    await file.write(header, 0);
    await file.resize(sizeOf(pageCount));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws RestoreError `CORRUPT` when it is missing, cut, or that of another overlay. */
export async function openDataFile(
  folder: OverlayFolder,
  overlayId: string,
  pageCount: number,
): Promise<OverlayFile> {
  const object = `${folder.path}/${DATA_NAME}`;
  const file = await folder.open(DATA_NAME).catch((cause: unknown) => {
    throw damaged(object, 'the file', 'none', cause);
  });
  try {
    const found = file.sizeBytes();
    if (found !== sizeOf(pageCount))
      throw damaged(object, `${sizeOf(pageCount)} bytes`, `${found}`);
    const header = new Uint8Array(DATA_OFFSET);
    await file.read(header, 0);
    const view = layout.viewOf(header);
    const intact = Header.crc(view) === crc32(header.subarray(0, CHECKED_BYTES));
    if (!intact || Header.magic(view) !== MAGIC) throw damaged(object, 'its header', 'other bytes');
    const id = Buffer.from(Header.overlayId(view)).toString('hex');
    if (id !== overlayId) throw damaged(object, overlayId, id);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function sizeOf(pageCount: number): number {
  return DATA_OFFSET + pageCount * PAGE_BYTES;
}

function damaged(object: string, expected: string, found: string, cause?: unknown): RestoreError {
  return new RestoreError('CORRUPT', 'the data of an overlay is not as it was left', {
    where: { object, expected, found },
    hint: 'Put the overlay’s folder back from a copy, or discard the overlay; the backup is not affected.',
    cause,
  });
}

import { hash } from 'node:crypto';
import { z } from 'zod';
import { isRestoreError, RestoreError } from '../../core/index.ts';
import type { OverlayFolder } from './folder.ts';
import { PAGE_BYTES } from './page-map.ts';

const RECORD_NAME = 'overlay.json';
export const RECORD_NAME_NEW = 'overlay.json.new';
const RECORD_BYTES_MAX = 64 * 1024;
const FORMAT_VERSION = 1;

const hexId = z.string().regex(/^[0-9a-f]{32}$/);
const count = z.int().min(0);

const RecordSchema = z.object({
  format: z.literal(FORMAT_VERSION),
  id: hexId,
  /** What lies beneath: an overlay means nothing over any other disk. */
  repositoryId: hexId,
  machine: z.string().min(1).max(255),
  pointId: hexId,
  diskId: z.string().min(1).max(64),
  sizeBytes: count,
  sectorSize: z.union([z.literal(512), z.literal(4096)]),
  pageBytes: z.literal(PAGE_BYTES),
  /** Bytes of data that the overlay may hold. */
  sizeLimitBytes: count,
  /** Bytes that stay free on the overlay's file system. */
  freeSpaceFloorBytes: count,
  createdAt: z.iso.datetime(),
  /** Whose it is and what for, in its owner's words. */
  note: z.string().max(4096),
});
/** What an overlay is of, and whose. Never changes. */
export type OverlayRecord = z.infer<typeof RecordSchema>;

/** @throws RestoreError `INVALID`. */
export function checkRecord(record: OverlayRecord): void {
  const parsed = RecordSchema.safeParse(record);
  if (parsed.success) return;
  throw new RestoreError('INVALID', 'an overlay cannot be made of that', {
    where: { found: z.prettifyError(parsed.error).slice(0, 200) },
  });
}

/** Puts the record in place, durable: from then on the folder is an overlay. */
export async function writeRecord(folder: OverlayFolder, record: OverlayRecord): Promise<void> {
  const json = JSON.stringify(record, null, 2);
  const file = await folder.create(RECORD_NAME_NEW);
  try {
    await file.write(Buffer.from(`${json}\nsha256:${hash('sha256', json)}\n`), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await folder.rename(RECORD_NAME_NEW, RECORD_NAME);
  await folder.sync();
}

/** @throws RestoreError `NOT_FOUND` when the folder is no overlay, `CORRUPT`, `UNSUPPORTED`. */
export async function readRecord(folder: OverlayFolder): Promise<OverlayRecord> {
  const object = `${folder.path}/${RECORD_NAME}`;
  const text = await readText(folder, object);
  const cut = text.lastIndexOf('\nsha256:');
  const json = text.slice(0, Math.max(0, cut));
  const expected = text.slice(cut + '\nsha256:'.length).trimEnd();
  if (cut < 0 || hash('sha256', json) !== expected) {
    throw new RestoreError('CORRUPT', 'the record of an overlay is damaged', {
      where: { object, expected: 'its checksum line to match' },
      hint: 'Put the file back from a copy; it never changes.',
    });
  }
  const parsed = RecordSchema.safeParse(JSON.parse(json));
  if (parsed.success) return parsed.data;
  throw new RestoreError('UNSUPPORTED', 'an overlay of another version', {
    where: { object, found: z.prettifyError(parsed.error).slice(0, 200) },
    hint: 'Open it with the version of Rehydrate that made it.',
  });
}

/** Makes the folder no overlay any more, durably, before anything else of it goes. */
export async function removeRecord(folder: OverlayFolder): Promise<void> {
  await folder.remove(RECORD_NAME);
  await folder.sync();
}

async function readText(folder: OverlayFolder, object: string): Promise<string> {
  let file: Awaited<ReturnType<OverlayFolder['open']>>;
  try {
    file = await folder.open(RECORD_NAME);
  } catch (cause) {
    if (!isRestoreError(cause, 'NOT_FOUND')) throw cause;
    throw new RestoreError('NOT_FOUND', 'there is no overlay', { where: { object }, cause });
  }
  try {
    const bytes = new Uint8Array(Math.min(file.sizeBytes(), RECORD_BYTES_MAX));
    await file.read(bytes, 0);
    return Buffer.from(bytes).toString();
  } finally {
    await file.close();
  }
}

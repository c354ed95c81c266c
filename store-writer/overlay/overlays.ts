import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  asRestoreError,
  type BlockSource,
  isRestoreError,
  RestoreError,
} from '../../core/index.ts';
import { createDataFile, DATA_NAME } from './data-file.ts';
import type { OverlayFolder } from './folder.ts';
import { LocalFolder, syncFolder } from './local-folder.ts';
import { lockFolder } from './lock.ts';
import { MAP_NAME, MapFile } from './map-file.ts';
import { Overlay } from './overlay.ts';
import { PAGE_BYTES } from './page-map.ts';
import {
  checkRecord,
  type OverlayRecord,
  readRecord,
  RECORD_NAME_NEW,
  removeRecord,
  writeRecord,
} from './record.ts';
import type { RoomLimits } from './room.ts';

/** Which disk an overlay is of, and whose it is. */
export type OverlayMeta = Pick<OverlayRecord, 'repositoryId' | 'machine' | 'pointId' | 'diskId'> & {
  /** 32 hexadecimal digits; random when absent. */
  readonly id?: string;
  readonly note?: string;
  readonly createdAt?: Date;
};

export interface CreateOverlayOptions extends RoomLimits {
  /** A folder that does not exist yet, or is empty. */
  readonly folder: string;
  /** Closed with the overlay, also when this throws. */
  readonly base: BlockSource;
  readonly meta: OverlayMeta;
}

/**
 * Makes an overlay, untouched, and opens it.
 *
 * @throws RestoreError `EXISTS` when there is one, `NO_SPACE`, `IO`, `DENIED`.
 */
export async function createOverlay(options: CreateOverlayOptions): Promise<Overlay> {
  const { folder, base } = options;
  let unlock: (() => void) | undefined;
  try {
    makeFolder(folder);
    unlock = lockFolder(folder);
    await prepareOverlay(new LocalFolder(folder), options);
  } catch (error) {
    unlock?.();
    await base.close();
    throw asRestoreError(error, 'cannot make an overlay', { object: folder });
  }
  return await Overlay.open(new LocalFolder(folder), base, unlock);
}

/**
 * Opens an overlay again, after a restart or a crash.
 *
 * @param base the disk that {@link readOverlayRecord} names; closed with the overlay, also when this
 *   throws.
 * @throws RestoreError `NOT_FOUND`, `BUSY` while it is open elsewhere, `CORRUPT`, `UNSUPPORTED`,
 *   `INVALID` for another disk.
 */
export async function openOverlay(options: {
  readonly folder: string;
  readonly base: BlockSource;
}): Promise<Overlay> {
  const { folder, base } = options;
  let unlock: (() => void) | undefined;
  try {
    await readOverlayRecord(folder);
    unlock = lockFolder(folder);
  } catch (error) {
    await base.close();
    throw error;
  }
  return await Overlay.open(new LocalFolder(folder), base, unlock);
}

/** @throws RestoreError `NOT_FOUND`, `CORRUPT`, `UNSUPPORTED`. */
export async function readOverlayRecord(folder: string): Promise<OverlayRecord> {
  return await readRecord(new LocalFolder(folder));
}

/** The files of an untouched overlay; the record comes last, so a half-made one is none. */
export async function prepareOverlay(
  folder: OverlayFolder,
  { base, meta, sizeLimitBytes, freeSpaceFloorBytes }: Omit<CreateOverlayOptions, 'folder'>,
): Promise<void> {
  await checkAbsent(folder);
  const { id = randomBytes(16).toString('hex'), note = '', createdAt = new Date(), ...of } = meta;
  const { size: sizeBytes, sectorSize } = base;
  const record: OverlayRecord = {
    format: 1,
    id,
    ...of,
    sizeBytes,
    sectorSize,
    pageBytes: PAGE_BYTES,
    sizeLimitBytes,
    freeSpaceFloorBytes,
    createdAt: createdAt.toISOString(),
    note,
  };
  checkRecord(record);
  const pageCount = Math.ceil(sizeBytes / PAGE_BYTES);
  try {
    await createDataFile(folder, id, pageCount);
    await MapFile.create(folder, id, pageCount);
    await folder.sync();
    await writeRecord(folder, record);
  } catch (error) {
    // Best effort: what is left without a record is no overlay, and made anew next time.
    await removeFiles(folder).catch(() => undefined);
    throw error;
  }
}

/** An overlay that was found; one that cannot be read is told, not left out. */
export type ListedOverlay = { readonly folder: string; readonly isOpen: boolean } & (
  | { readonly record: OverlayRecord }
  | { readonly error: RestoreError }
);

/** The overlays in the folders below `folder`, by name. */
export async function listOverlays(folder: string): Promise<ListedOverlay[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw asRestoreError(error, 'cannot list overlays', { object: folder });
  });
  const listed: ListedOverlay[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isDirectory()) continue;
    const found = await look(path.join(folder, entry.name));
    if (found !== undefined) listed.push(found);
  }
  return listed;
}

/** Deletes an overlay and all that was written to it. @throws RestoreError `BUSY`, `NOT_FOUND`. */
export async function deleteOverlay(folder: string): Promise<void> {
  const local = new LocalFolder(folder);
  await readRecord(local).catch((error: unknown) => {
    // A damaged one may go too; what is none may not.
    if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
  });
  const unlock = lockFolder(folder);
  try {
    await removeRecord(local);
    await rm(folder, { recursive: true });
  } catch (error) {
    throw asRestoreError(error, 'cannot delete an overlay', { object: folder });
  } finally {
    unlock();
  }
}

async function look(folder: string): Promise<ListedOverlay | undefined> {
  try {
    const record = await readOverlayRecord(folder);
    return { folder, isOpen: isLocked(folder), record };
  } catch (error) {
    if (isRestoreError(error, 'NOT_FOUND')) return undefined;
    return { folder, isOpen: false, error: asRestoreError(error, 'cannot read an overlay') };
  }
}

function isLocked(folder: string): boolean {
  try {
    lockFolder(folder)();
    return false;
  } catch (error) {
    if (isRestoreError(error, 'BUSY')) return true;
    throw error;
  }
}

function makeFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  syncFolder(path.dirname(folder));
}

async function removeFiles(folder: OverlayFolder): Promise<void> {
  for (const name of [RECORD_NAME_NEW, MAP_NAME, DATA_NAME]) await folder.remove(name);
}

async function checkAbsent(folder: OverlayFolder): Promise<void> {
  try {
    await readRecord(folder);
  } catch (error) {
    if (isRestoreError(error, 'NOT_FOUND')) return;
    throw error;
  }
  throw new RestoreError('EXISTS', 'there is an overlay already', {
    where: { object: folder.path },
    hint: 'Open it, or discard it first.',
  });
}

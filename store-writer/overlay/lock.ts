import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { asRestoreError, RestoreError } from '../../core/index.ts';

const LOCK_NAME = 'lock';
/** SQLITE_BUSY, in SQLite's list of result codes. */
const BUSY = 5;
/** A moment, so that an opener does not stumble over somebody who only looks. */
const TIMEOUT_MS = 50;

/**
 * Keeps an overlay to one opener: a lock that the kernel holds, through SQLite, on an empty file. It
 * ends with the process, however that dies, so none is ever left behind; SQLite also keeps openers
 * within one process apart, which plain fcntl(2) locks do not.
 *
 * @returns what gives the lock back.
 * @throws RestoreError `BUSY`.
 */
export function lockFolder(folder: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path.join(folder, LOCK_NAME), { timeout: TIMEOUT_MS });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if ((error as { errcode?: number }).errcode !== BUSY) {
      throw asRestoreError(error, 'cannot lock an overlay', { object: folder });
    }
    throw new RestoreError('BUSY', 'the overlay is open already', {
      where: { object: folder },
      hint: 'End the lease or the command that uses it, then try again.',
      cause: error,
    });
  }
  const held = database;
  return () => held.close();
}

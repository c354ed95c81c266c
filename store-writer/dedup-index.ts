import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { asRestoreError, isRestoreError } from '../core/index.ts';
import {
  type BlockReference,
  type NativeRepository,
  readPackDirectory,
  readPackSet,
} from '../store-reader/index.ts';

/** Raised when the tables change; an index of another version is simply made anew. */
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS packs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS points (id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS blocks (
    id BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, flags INTEGER NOT NULL
  ) WITHOUT ROWID;
`;

/** SQLITE_CORRUPT and SQLITE_NOTADB (sqlite.org/rescode.html): primary result codes of damage. */
const DAMAGE_CODES: readonly number[] = [11, 26];

interface BlockRow {
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
}

/**
 * Which published block is where: a local database that only spares space. It holds published
 * blocks alone, is rebuilt from the packs' directories when it is lost or damaged, and is never
 * believed about a pack that is not there.
 */
export class DedupIndex {
  readonly #database: DatabaseSync;
  readonly #file: string;
  readonly #find: StatementSync;
  #empty: boolean;
  /** Damage was met: it answers nothing more, and the next capture makes it anew. */
  #damaged = false;

  private constructor(database: DatabaseSync, file: string) {
    this.#database = database;
    this.#file = file;
    this.#find = database.prepare(
      `SELECT packs.id AS pack, offset, length, flags
       FROM blocks JOIN packs ON packs.number = blocks.pack WHERE blocks.id = ?`,
    );
    this.#empty = database.prepare('SELECT 1 FROM blocks LIMIT 1').get() === undefined;
  }

  /**
   * Opens, or makes, the index of one repository in the folder `cache`.
   *
   * @throws RestoreError `IO`, `DENIED`, `NO_SPACE`.
   */
  static open(cache: string, repositoryId: string): DedupIndex {
    const folder = path.join(cache, repositoryId);
    const file = path.join(folder, `dedup-${SCHEMA_VERSION}.sqlite`);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      try {
        return openIndex(file, (database) => new DedupIndex(database, file));
      } catch (error) {
        if (!isDamage(error)) throw error;
        removeDatabase(file);
        return openIndex(file, (database) => new DedupIndex(database, file));
      }
    } catch (error) {
      throw asRestoreError(error, 'cannot open the local index', { object: file });
    }
  }

  /** Where a block is stored, if anywhere known. */
  find(id: Uint8Array): BlockReference | undefined {
    if (this.#empty || this.#damaged) return undefined;
    try {
      const row = this.#find.get(id) as BlockRow | undefined;
      return row === undefined ? undefined : { ...row, id };
    } catch (error) {
      this.#noteDamage(error);
      return undefined;
    }
  }

  /** Takes in the packs of points it has not seen; damaged ones are left out. */
  async synchronize(repository: NativeRepository): Promise<void> {
    try {
      await this.#synchronize(repository);
    } catch (error) {
      this.#noteDamage(error);
    }
  }

  /** Adds what a capture has published. */
  add(pointId: string, blocks: Iterable<BlockReference>): void {
    if (this.#damaged) return;
    this.#transaction(() => {
      this.#insert(blocks);
      this.#rememberPoint(pointId);
    });
  }

  close(): void {
    this.#database.close();
  }

  /** @throws whatever is not damage of the index. */
  #noteDamage(error: unknown): void {
    if (!isDamage(error)) throw error;
    this.#damaged = true;
    removeDatabase(this.#file);
  }

  async #synchronize(repository: NativeRepository): Promise<void> {
    const known = this.#database.prepare('SELECT 1 FROM points WHERE id = ?');
    for (const name of repository.catalog.points) {
      if (known.get(name.id) !== undefined) continue;
      try {
        const packs = await readPackSet(repository.blocks, await repository.point(name));
        for (const pack of packs) await this.#takeIn(repository, pack);
        this.#rememberPoint(name.id);
      } catch (error) {
        if (!isRestoreError(error)) throw error;
      }
    }
  }

  async #takeIn(repository: NativeRepository, pack: string): Promise<void> {
    const known = this.#database.prepare('SELECT 1 FROM packs WHERE id = ?').get(pack);
    if (known !== undefined) return;
    const { backend, record } = repository;
    try {
      const records = await readPackDirectory(backend, pack, record.id);
      this.#transaction(() => this.#insert(records.map(({ reference }) => reference)));
    } catch (error) {
      if (!isRestoreError(error)) throw error;
    }
  }

  #rememberPoint(id: string): void {
    this.#database.prepare('INSERT OR IGNORE INTO points (id) VALUES (?)').run(id);
  }

  #insert(blocks: Iterable<BlockReference>): void {
    const addPack = this.#database.prepare('INSERT OR IGNORE INTO packs (id) VALUES (?)');
    const packNumber = this.#database.prepare('SELECT number FROM packs WHERE id = ?');
    const addBlock = this.#database.prepare(
      'INSERT OR REPLACE INTO blocks (id, pack, offset, length, flags) VALUES (?, ?, ?, ?, ?)',
    );
    const numbers = new Map<string, number>();
    for (const { id, pack, offset, length, flags } of blocks) {
      let number = numbers.get(pack);
      if (number === undefined) {
        addPack.run(pack);
        number = (packNumber.get(pack) as { number: number }).number;
        numbers.set(pack, number);
      }
      addBlock.run(id, number, offset, length, flags);
      this.#empty = false;
    }
  }

  #transaction(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

function openIndex(file: string, make: (database: DatabaseSync) => DedupIndex): DedupIndex {
  const database = new DatabaseSync(file);
  try {
    // First of all: even the change to WAL waits its turn then.
    database.exec('PRAGMA busy_timeout = 30000; PRAGMA cache_size = -32768;');
    // Durable enough: after a power cut the newest rows may be gone, none are wrong.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    database.exec(SCHEMA);
    return make(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A capture that has it open goes on with its own view of it. */
function removeDatabase(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true });
}

function isDamage(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' && DAMAGE_CODES.includes(code & 0xff);
}

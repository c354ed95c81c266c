import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { type BlockReference, keyOf } from '../store-reader/index.ts';

/** Blocks kept in memory before the rest goes to a temporary database: about 50 MB of them. */
const MEMORY_BLOCKS_MAX = 250_000;

interface Row {
  readonly id: Uint8Array;
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
}

/** The blocks that one capture has stored so far, by id; memory stays bounded. */
export class FreshBlocks {
  readonly #memory = new Map<string, BlockReference>();
  #spill: { database: DatabaseSync; find: StatementSync; add: StatementSync } | undefined;

  get(key: string, id: Uint8Array): BlockReference | undefined {
    return this.#memory.get(key) ?? (this.#spill?.find.get(id) as BlockReference | undefined);
  }

  add(reference: BlockReference): void {
    if (this.#memory.size < MEMORY_BLOCKS_MAX) {
      this.#memory.set(keyOf(reference), reference);
      return;
    }
    this.#spill ??= openSpill();
    const { id, pack, offset, length, flags } = reference;
    this.#spill.add.run(id, pack, offset, length, flags);
  }

  *[Symbol.iterator](): Generator<BlockReference> {
    yield* this.#memory.values();
    if (this.#spill === undefined) return;
    const rows = this.#spill.database.prepare('SELECT * FROM blocks').iterate();
    for (const row of rows) yield row as unknown as Row;
  }

  close(): void {
    this.#spill?.database.close();
    this.#spill = undefined;
  }
}

/** An empty name is a private file that SQLite deletes by itself. */
function openSpill(): { database: DatabaseSync; find: StatementSync; add: StatementSync } {
  const database = new DatabaseSync('');
  database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;');
  database.exec(
    `CREATE TABLE blocks (id BLOB PRIMARY KEY, pack TEXT, offset INTEGER, length INTEGER,
     flags INTEGER) WITHOUT ROWID`,
  );
  return {
    database,
    find: database.prepare('SELECT * FROM blocks WHERE id = ?'),
    add: database.prepare('INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?, ?)'),
  };
}

import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { RestoreError } from '../../core/index.ts';
import type { Backend } from '../backends/backend.ts';
import { DirectoryBackend } from '../backends/directory.ts';
import { BlockStore, type BlockStoreOptions } from './block-store.ts';
import { type Catalog, loadCatalog } from './catalog.ts';
import { DecodePool } from './decode-pool.ts';
import { type BlockDecoder, batchRequests, InlineDecoder } from './decoder.ts';
import { NativeDisk } from './disk.ts';
import { unwrapObject } from './envelope.ts';
import { type BlockReference, PAGE_BYTES_MAX, pointObject, REPOSITORY_OBJECT } from './format.ts';
import { type Credential, KeyRing, unwrapMasterKey } from './keys.ts';
import {
  type DiskRecord,
  type PointName,
  type PointRecord,
  parseRecord,
  type RepositoryRecord,
  referenceOf,
} from './records.ts';
import { Sealer } from './seal.ts';

export interface OpenOptions extends Partial<BlockStoreOptions> {
  /** Opens an encrypted repository. */
  readonly credential?: Credential;
  /** Decoding threads; 0 decodes on the calling thread. */
  readonly threads?: number;
  /** Prove the full id of every block on every read. */
  readonly checkIds?: boolean;
}

/** A block to prove. */
export interface ProofRequest {
  readonly reference: BlockReference;
  readonly plainBytes: number;
  /** `plainBytes` is only a limit. */
  readonly atMost?: boolean;
}

const PROOF_BATCH = 16;
const CACHE_BYTES = 256 * 1024 * 1024;
const PAGE_CACHE_BYTES = 48 * 1024 * 1024;

/** An open repository of format 1, for reading. */
export class NativeRepository {
  readonly backend: Backend;
  readonly record: RepositoryRecord;
  readonly keys: KeyRing | undefined;
  readonly sealer: Sealer;
  readonly blocks: BlockStore;
  readonly #makeProver: () => BlockDecoder;
  #prover: BlockDecoder | undefined;
  #catalog: Catalog;

  private constructor(
    backend: Backend,
    record: RepositoryRecord,
    keys: KeyRing | undefined,
    decoders: { readonly reading: BlockStore; readonly makeProver: () => BlockDecoder },
    catalog: Catalog,
  ) {
    this.backend = backend;
    this.record = record;
    this.keys = keys;
    this.sealer = new Sealer(keys);
    this.blocks = decoders.reading;
    this.#makeProver = decoders.makeProver;
    this.#catalog = catalog;
  }

  /**
   * Opens the repository in the directory `location`.
   *
   * @throws RestoreError `NOT_FOUND` when there is none, `WRONG_KEY` without the right credential,
   *   `CORRUPT`, `UNSUPPORTED`, `IO`.
   */
  static async open(location: string, options: OpenOptions = {}): Promise<NativeRepository> {
    const backend = new DirectoryBackend(location);
    const record = await readRepositoryRecord(backend);
    const keys = openKeys(record, options.credential);
    const blocks = new BlockStore(makeDecoder(backend, record, keys, options), {
      cacheBytes: options.cacheBytes ?? CACHE_BYTES,
      pageCacheBytes: options.pageCacheBytes ?? PAGE_CACHE_BYTES,
    });
    const catalog = await loadCatalog(backend, keys);
    const makeProver = (): BlockDecoder =>
      makeDecoder(backend, record, keys, { ...options, checkIds: true });
    return new NativeRepository(backend, record, keys, { reading: blocks, makeProver }, catalog);
  }

  get catalog(): Catalog {
    return this.#catalog;
  }

  /** Reads the commits again: others may have published since. */
  async refresh(): Promise<Catalog> {
    this.#catalog = await loadCatalog(this.backend, this.keys);
    return this.#catalog;
  }

  /**
   * A restore point's record.
   *
   * @throws RestoreError `CORRUPT` when it is damaged, missing, or not the one its commit named.
   */
  async point(name: PointName): Promise<PointRecord> {
    const object = pointObject(name.id);
    let stored: Uint8Array;
    try {
      stored = await this.backend.get(object);
    } catch (cause) {
      if (!(cause instanceof RestoreError) || cause.code !== 'NOT_FOUND') throw cause;
      throw new RestoreError('CORRUPT', 'a published restore point is missing', {
        where: { object },
        hint: 'Put the object back from a copy of the repository.',
        cause,
      });
    }
    const sha256 = hash('sha256', stored);
    if (sha256 !== name.sha256) {
      throw new RestoreError('CORRUPT', 'a restore point is not the one that was published', {
        where: { object, expected: name.sha256, found: sha256 },
      });
    }
    const payload = unwrapObject(object, stored, this.keys);
    return parseRecord('point', Buffer.from(payload).toString(), object);
  }

  /** A disk of a restore point. Reads nothing yet, whatever the disk's size and history. */
  openDisk(point: PointRecord, disk: DiskRecord): NativeDisk {
    return new NativeDisk(this.blocks, {
      sizeBytes: disk.sizeBytes,
      sectorSize: disk.sectorSize,
      blockSize: this.record.blockSize,
      root: disk.root === undefined ? undefined : referenceOf(disk.root),
      address: `${point.machine}@${point.takenAt}/${disk.id}`,
    });
  }

  /**
   * Reads blocks for nothing but to prove them, ids included; the cache is not touched.
   *
   * @returns for each, the error that reading it gives, or `undefined`.
   */
  async prove(wanted: readonly ProofRequest[]): Promise<(RestoreError | undefined)[]> {
    const outcome = new Map<BlockReference, RestoreError | undefined>();
    const requests = wanted.map(({ reference, plainBytes, atMost }) => ({
      reference,
      plainBytes,
      isPage: atMost === true,
    }));
    this.#prover ??= this.#makeProver();
    const prover = this.#prover;
    const batches = batchRequests(requests, PROOF_BATCH);
    await Promise.all(
      batches.map(async (batch) => {
        const results = await prover.decode(batch);
        batch.forEach(({ reference }, index) => {
          const result = results[index];
          if (result instanceof Uint8Array) prover.release?.(result);
          outcome.set(reference, result instanceof Uint8Array ? undefined : result);
        });
      }),
    );
    return wanted.map(({ reference }) => outcome.get(reference));
  }

  async close(): Promise<void> {
    await this.#prover?.close();
    await this.blocks.close();
    await this.backend.close();
  }
}

/** `repository.json` of a backend, checked. */
async function readRepositoryRecord(backend: Backend): Promise<RepositoryRecord> {
  let bytes: Uint8Array;
  try {
    bytes = await backend.get(REPOSITORY_OBJECT);
  } catch (cause) {
    if (!(cause instanceof RestoreError) || cause.code !== 'NOT_FOUND') throw cause;
    throw new RestoreError('NOT_FOUND', `there is no repository at ${backend.location}`, {
      hint: `Make one with \`rehydrate init ${backend.location}\`, or check the path.`,
      cause,
    });
  }
  return decodeRepositoryRecord(Buffer.from(bytes).toString());
}

/** The file's text: the record, then a line with its SHA-256, so that a flipped digit shows. */
export function encodeRepositoryRecord(record: RepositoryRecord): Buffer {
  const json = JSON.stringify(record, null, 2);
  return Buffer.from(`${json}\nsha256:${hash('sha256', json)}\n`);
}

function decodeRepositoryRecord(text: string): RepositoryRecord {
  const cut = text.lastIndexOf('\nsha256:');
  const json = text.slice(0, Math.max(0, cut));
  const expected = text.slice(cut + '\nsha256:'.length).trimEnd();
  if (cut < 0 || hash('sha256', json) !== expected) {
    throw new RestoreError('CORRUPT', 'the repository’s own record is damaged', {
      where: { object: REPOSITORY_OBJECT, expected: 'its checksum line to match' },
      hint: 'Put the file back from a copy; it never changes after `rehydrate init`.',
    });
  }
  return parseRecord('repository', json, REPOSITORY_OBJECT);
}

function openKeys(
  record: RepositoryRecord,
  credential: Credential | undefined,
): KeyRing | undefined {
  if (record.encryption === undefined) return undefined;
  if (credential === undefined) {
    throw new RestoreError('WRONG_KEY', 'this repository is encrypted and no key was given', {
      hint: 'Give --passphrase-file or --key-file, or set REHYDRATE_PASSPHRASE.',
    });
  }
  return new KeyRing(unwrapMasterKey(record.encryption.keys, credential, record.id), record.id);
}

function makeDecoder(
  backend: Backend,
  record: RepositoryRecord,
  keys: KeyRing | undefined,
  options: OpenOptions,
): BlockDecoder {
  const threads = options.threads ?? 0;
  const checkIds = options.checkIds ?? false;
  if (threads === 0) {
    return new InlineDecoder(backend, new Sealer(keys), { checkIds, overlaps: true });
  }
  return new DecodePool(
    { location: backend.location, repositoryId: record.id, master: keys?.master, checkIds },
    Math.min(threads, availableParallelism()),
    Math.max(record.blockSize, PAGE_BYTES_MAX),
  );
}

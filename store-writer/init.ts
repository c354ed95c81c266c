import { randomBytes } from 'node:crypto';
import { RestoreError } from '../core/index.ts';
import {
  BLOCK_SIZE_DEFAULT,
  BLOCK_SIZE_MAX,
  BLOCK_SIZE_MIN,
  type Codec,
  type Credential,
  DirectoryBackend,
  encodeRepositoryRecord,
  FORMAT_VERSION,
  KeyRing,
  REPOSITORY_OBJECT,
  type RepositoryRecord,
  wrapMasterKey,
} from '../store-reader/index.ts';

const LEVEL_MIN = 1;
const LEVEL_MAX = 19;

export interface InitOptions {
  /** Unit of deduplication in bytes: a power of two, 16 KiB to 1 MiB. */
  readonly blockSize?: number;
  readonly codec?: Codec;
  /** zstd level, 1 to 19. */
  readonly level?: number;
  /** Encrypts the repository; each credential opens it alone. */
  readonly credentials?: readonly Credential[];
}

/**
 * Makes an empty repository.
 *
 * @throws RestoreError `EXISTS` when there is one already, `INVALID` for a bad option, `IO`.
 */
export async function initRepository(
  location: string,
  options: InitOptions = {},
): Promise<RepositoryRecord> {
  const blockSize = options.blockSize ?? BLOCK_SIZE_DEFAULT;
  checkBlockSize(blockSize);
  const level = options.level ?? 3;
  checkLevel(level);
  const id = randomBytes(16).toString('hex');
  const credentials = options.credentials ?? [];
  const record: RepositoryRecord = {
    format: FORMAT_VERSION,
    id,
    createdAt: new Date().toISOString(),
    blockSize,
    hash: 'sha256',
    codec: options.codec ?? 'zstd',
    level,
    ...(credentials.length === 0 ? {} : { encryption: encryptionRecord(credentials, id) }),
  };
  const backend = new DirectoryBackend(location);
  try {
    if (await backend.putIfAbsent(REPOSITORY_OBJECT, encodeRepositoryRecord(record))) return record;
  } finally {
    await backend.close();
  }
  throw new RestoreError('EXISTS', `there is a repository at ${backend.location} already`, {
    hint: 'Use it as it is, or choose another folder.',
  });
}

function encryptionRecord(
  credentials: readonly Credential[],
  id: string,
): NonNullable<RepositoryRecord['encryption']> {
  const master = KeyRing.generateMaster();
  return {
    cipher: 'aes-256-gcm',
    keys: credentials.map((credential) => wrapMasterKey(master, credential, id)),
  };
}

function checkLevel(level: number): void {
  if (Number.isInteger(level) && level >= LEVEL_MIN && level <= LEVEL_MAX) return;
  throw new RestoreError('INVALID', 'not a compression level', {
    where: { expected: `${LEVEL_MIN}..${LEVEL_MAX}`, found: level },
  });
}

function checkBlockSize(blockSize: number): void {
  const inRange = blockSize >= BLOCK_SIZE_MIN && blockSize <= BLOCK_SIZE_MAX;
  if (inRange && Number.isInteger(Math.log2(blockSize))) return;
  throw new RestoreError('INVALID', 'not a block size', {
    where: { expected: `a power of two, ${BLOCK_SIZE_MIN}..${BLOCK_SIZE_MAX}`, found: blockSize },
  });
}

import {
  createCipheriv,
  createDecipheriv,
  hkdfSync,
  randomBytes,
  scryptSync,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { asRestoreError, RestoreError } from '../../core/index.ts';

const MASTER_KEY_BYTES = 32;
/** scrypt at 128 MiB and about a third of a second: RFC 7914's interactive setting, times eight. */
const SCRYPT = { logN: 17, r: 8, p: 1 } as const;
/** A hostile `repository.json` must not make us allocate or compute at its will: N × r × p. */
const SCRYPT_COST_MAX = 2 ** 23;
const KEY_FILE_BYTES_MIN = 32;

const hex = z.string().regex(/^([0-9a-f]{2})*$/);

/** One wrapped copy of the master key, as `repository.json` keeps it. */
export const KeySlot: z.ZodType<KeySlotRecord> = z.discriminatedUnion('kind', [
  z
    .object({
      kind: z.literal('passphrase'),
      kdf: z.literal('scrypt'),
      logN: z.int().min(10).max(23),
      r: z.int().min(1).max(32),
      p: z.int().min(1).max(16),
      salt: hex,
      nonce: hex,
      wrapped: hex,
    })
    .refine(({ logN, r, p }) => 2 ** logN * r * p <= SCRYPT_COST_MAX, 'scrypt would cost too much'),
  z.object({
    kind: z.literal('key-file'),
    kdf: z.literal('hkdf-sha256'),
    salt: hex,
    nonce: hex,
    wrapped: hex,
  }),
]);

interface WrappedKey {
  salt: string;
  nonce: string;
  wrapped: string;
}
export type KeySlotRecord =
  | ({ kind: 'passphrase'; kdf: 'scrypt'; logN: number; r: number; p: number } & WrappedKey)
  | ({ kind: 'key-file'; kdf: 'hkdf-sha256' } & WrappedKey);

/** What opens an encrypted repository. */
export type Credential =
  | { readonly kind: 'passphrase'; readonly passphrase: string }
  | { readonly kind: 'key-file'; readonly content: Uint8Array };

/** The keys of an encrypted repository, all derived from its master key with HKDF-SHA-256. */
export class KeyRing {
  /** Keys the HMAC that makes block ids. */
  readonly idKey: KeyObject;
  readonly #master: Uint8Array;
  readonly #repositoryId: string;
  readonly #derived = new LRUCache<string, KeyObject>({ max: 4096 });

  constructor(master: Uint8Array, repositoryId: string) {
    this.#master = master;
    this.#repositoryId = repositoryId;
    this.idKey = this.#derive('block id');
  }

  static generateMaster(): Uint8Array {
    return randomBytes(MASTER_KEY_BYTES);
  }

  /** The master key, for handing to a worker thread. Never stored, never logged. */
  get master(): Uint8Array {
    return this.#master;
  }

  packKey(pack: string): KeyObject {
    return this.#derive(`pack ${pack}`);
  }

  /** The key of one small object: a point, a commit. */
  objectKey(name: string): KeyObject {
    return this.#derive(`object ${name}`);
  }

  /** As key objects: made from bytes anew, a key costs as much as sealing a block with it. */
  #derive(purpose: string): KeyObject {
    const known = this.#derived.get(purpose);
    if (known !== undefined) return known;
    const bytes = derive(this.#master, this.#repositoryId, `rehydrate 1 ${purpose}`);
    const key = createSecretKey(bytes);
    this.#derived.set(purpose, key);
    return key;
  }
}

/** Wraps the master key for one credential. */
export function wrapMasterKey(
  master: Uint8Array,
  credential: Credential,
  repositoryId: string,
): KeySlotRecord {
  const salt = randomBytes(16).toString('hex');
  const nonce = randomBytes(12);
  const slot: KeySlotRecord =
    credential.kind === 'passphrase'
      ? { kind: 'passphrase', kdf: 'scrypt', ...SCRYPT, salt, nonce: '', wrapped: '' }
      : { kind: 'key-file', kdf: 'hkdf-sha256', salt, nonce: '', wrapped: '' };
  const cipher = createCipheriv('aes-256-gcm', wrappingKey(slot, credential), nonce);
  cipher.setAAD(Buffer.from(repositoryId));
  const wrapped = Buffer.concat([cipher.update(master), cipher.final(), cipher.getAuthTag()]);
  return { ...slot, nonce: nonce.toString('hex'), wrapped: wrapped.toString('hex') };
}

/**
 * The master key, from whichever slot the credential opens.
 *
 * @throws RestoreError `WRONG_KEY` when it opens none.
 */
export function unwrapMasterKey(
  slots: readonly KeySlotRecord[],
  credential: Credential,
  repositoryId: string,
): Uint8Array {
  for (const slot of slots.filter(({ kind }) => kind === credential.kind)) {
    const master = tryUnwrap(slot, credential, repositoryId);
    if (master !== undefined) return master;
  }
  const kinds = [...new Set(slots.map(({ kind }) => kind))].join(' or ');
  throw new RestoreError('WRONG_KEY', `the ${credential.kind} does not open this repository`, {
    where: { expected: `the ${kinds} it was made with` },
    hint: 'Check --passphrase-file / --key-file, or REHYDRATE_PASSPHRASE.',
  });
}

function tryUnwrap(
  slot: KeySlotRecord,
  credential: Credential,
  repositoryId: string,
): Uint8Array | undefined {
  const wrapped = Buffer.from(slot.wrapped, 'hex');
  if (wrapped.byteLength !== MASTER_KEY_BYTES + 16) return undefined;
  const key = wrappingKey(slot, credential);
  try {
    const nonce = Buffer.from(slot.nonce, 'hex');
    const decipher = createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAAD(Buffer.from(repositoryId));
    decipher.setAuthTag(wrapped.subarray(MASTER_KEY_BYTES));
    return Buffer.concat([
      decipher.update(wrapped.subarray(0, MASTER_KEY_BYTES)),
      decipher.final(),
    ]);
  } catch {
    return undefined;
  }
}

function wrappingKey(slot: KeySlotRecord, credential: Credential): Uint8Array {
  const salt = Buffer.from(slot.salt, 'hex');
  if (slot.kind === 'passphrase' && credential.kind === 'passphrase') {
    const cost = { N: 2 ** slot.logN, r: slot.r, p: slot.p };
    const maxmem = 129 * cost.N * cost.r + 2 ** 20;
    const phrase = credential.passphrase.normalize('NFC');
    try {
      return scryptSync(phrase, salt, MASTER_KEY_BYTES, { ...cost, maxmem });
    } catch (error) {
      // Too little memory is no wrong passphrase.
      throw asRestoreError(error, 'cannot derive a key from the passphrase');
    }
  }
  if (slot.kind !== 'key-file' || credential.kind !== 'key-file') {
    throw new RestoreError('WRONG_KEY', `this repository has no ${credential.kind}`);
  }
  if (credential.content.byteLength < KEY_FILE_BYTES_MIN) {
    throw new RestoreError('INVALID', 'the key file is too short to be one', {
      where: { expected: `at least ${KEY_FILE_BYTES_MIN} bytes`, found: credential.content.length },
    });
  }
  return derive(credential.content, slot.salt, 'rehydrate 1 key file');
}

function derive(secret: Uint8Array, salt: string, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, purpose, 32));
}

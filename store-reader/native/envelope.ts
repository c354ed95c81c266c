import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto';
import { RestoreError } from '../../core/index.ts';
import type { KeyRing } from './keys.ts';

/** 'RHO1' */
const MAGIC = Buffer.from('RHO1');
const FLAG_ENCRYPTED = 1;
const HEADER_BYTES = 20;
const NONCE_AT = 8;
const NONCE_BYTES = 12;
const CHECK_BYTES = 32;
const TAG_BYTES = 16;

/**
 * Wraps a small object (a point, a commit) so that damage or exchange shows: plain with a SHA-256 of
 * its name and bytes, encrypted with AES-256-GCM under a key of that name.
 */
export function wrapObject(
  name: string,
  payload: Uint8Array,
  keys: KeyRing | undefined,
): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  if (keys === undefined) {
    return Buffer.concat([header, payload, digest(name, header, payload)]);
  }
  header[4] = FLAG_ENCRYPTED;
  header.set(randomBytes(NONCE_BYTES), NONCE_AT);
  const cipher = createCipheriv('aes-256-gcm', keys.objectKey(name), header.subarray(NONCE_AT));
  cipher.setAAD(header);
  return Buffer.concat([header, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
}

/**
 * The payload of a wrapped object.
 *
 * @throws RestoreError `CORRUPT` when it is damaged, cut short or another object's.
 */
export function unwrapObject(
  name: string,
  stored: Uint8Array,
  keys: KeyRing | undefined,
): Uint8Array {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const header = bytes.subarray(0, HEADER_BYTES);
  if (bytes.length < HEADER_BYTES + TAG_BYTES || !header.subarray(0, 4).equals(MAGIC)) {
    throw damaged(name, 'an object header');
  }
  const encrypted = header[4] === FLAG_ENCRYPTED;
  if (encrypted !== (keys !== undefined)) throw damaged(name, 'the repository’s own protection');
  if (keys !== undefined) return decrypt(name, bytes, keys);
  const payload = bytes.subarray(HEADER_BYTES, -CHECK_BYTES);
  if (!digest(name, header, payload).equals(bytes.subarray(-CHECK_BYTES))) {
    throw damaged(name, 'its checksum');
  }
  return payload;
}

function decrypt(name: string, bytes: Buffer, keys: KeyRing): Uint8Array {
  const header = bytes.subarray(0, HEADER_BYTES);
  const key = keys.objectKey(name);
  const decipher = createDecipheriv('aes-256-gcm', key, header.subarray(NONCE_AT));
  decipher.setAAD(header);
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([
      decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)),
      decipher.final(),
    ]);
  } catch (cause) {
    throw damaged(name, 'its authentication tag', cause);
  }
}

function digest(name: string, header: Uint8Array, payload: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([Buffer.from(name), header, payload]), 'buffer');
}

function damaged(name: string, expected: string, cause?: unknown): RestoreError {
  return new RestoreError('CORRUPT', 'a stored object is damaged', {
    where: { object: name, expected },
    hint: 'Run `rehydrate verify` to see what is affected.',
    cause,
  });
}

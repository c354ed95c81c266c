import { createCipheriv, createDecipheriv, createHmac, hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { RestoreError } from '../../core/index.ts';
import { type BlockReference, ID_BYTES } from './format.ts';
import type { KeyRing } from './keys.ts';

/** Bytes of the seal in front of every stored block: CRC-32, or the GCM tag. */
const CRC_BYTES = 4;
const TAG_BYTES = 16;

/**
 * How blocks are named and protected in one repository.
 *
 * Plain: the seal is CRC-32 over id, place and stored bytes, so that a block at another block's place,
 * or in another pack, is as wrong as a flipped bit. Encrypted: AES-256-GCM, the key one pack's own,
 * the nonce the record's offset in it (no two records of a pack share one), id and place as
 * associated data.
 */
export class Sealer {
  readonly sealBytes: number;
  readonly #keys: KeyRing | undefined;

  constructor(keys: KeyRing | undefined) {
    this.#keys = keys;
    this.sealBytes = keys === undefined ? CRC_BYTES : TAG_BYTES;
  }

  /** The id of a block's plain bytes. */
  idOf(plain: Uint8Array): Uint8Array {
    if (this.#keys === undefined) return hash('sha256', plain, 'buffer');
    return createHmac('sha256', this.#keys.idKey).update(plain).digest();
  }

  /**
   * Writes the record that goes into the pack at `place.offset`: seal, then payload.
   *
   * @param record {@link sealBytes} longer than the payload.
   */
  sealInto(record: Uint8Array, payload: Uint8Array, place: BlockReference): void {
    if (this.#keys === undefined) {
      record.set(payload, CRC_BYTES);
      const seal = new DataView(record.buffer, record.byteOffset, CRC_BYTES);
      seal.setUint32(0, checksum(payload, place), true);
      return;
    }
    const cipher = createCipheriv('aes-256-gcm', this.#keys.packKey(place.pack), nonceOf(place));
    cipher.setAAD(associatedData(place));
    record.set(cipher.update(payload), TAG_BYTES);
    cipher.final();
    record.set(cipher.getAuthTag(), 0);
  }

  /**
   * The payload of a record read from its place, proved to be what was stored there.
   *
   * @throws RestoreError `CORRUPT` when it is not.
   */
  unseal(record: Uint8Array, place: BlockReference): Uint8Array {
    const payload = record.subarray(this.sealBytes);
    if (this.#keys === undefined) {
      const stored = new DataView(record.buffer, record.byteOffset).getUint32(0, true);
      if (stored === checksum(payload, place)) return payload;
      throw damaged(place);
    }
    const key = this.#keys.packKey(place.pack);
    const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(place));
    decipher.setAAD(associatedData(place));
    decipher.setAuthTag(record.subarray(0, TAG_BYTES));
    const plain = decipher.update(payload);
    try {
      decipher.final();
    } catch (cause) {
      throw damaged(place, cause);
    }
    return plain;
  }

  /** @throws RestoreError `CORRUPT` unless `plain` has the id it was asked for by. */
  checkId(plain: Uint8Array, place: BlockReference): void {
    if (Buffer.compare(this.idOf(plain), place.id) !== 0) throw damaged(place);
  }
}

function checksum(payload: Uint8Array, place: BlockReference): number {
  return crc32(payload, crc32(associatedData(place)));
}

/** Pack id, offset and flags, and block id: what a record is bound to. */
function associatedData(place: BlockReference): Uint8Array {
  const data = Buffer.allocUnsafe(16 + 4 + 4 + ID_BYTES);
  data.write(place.pack, 0, 'hex');
  data.writeUInt32LE(place.offset, 16);
  data.writeUInt32LE(place.flags, 20);
  data.set(place.id, 24);
  return data;
}

function nonceOf(place: BlockReference): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(place.offset, 0);
  return nonce;
}

function damaged(place: BlockReference, cause?: unknown): RestoreError {
  return new RestoreError('CORRUPT', 'a stored block is not what was stored', {
    where: {
      object: `pack ${place.pack}`,
      offset: place.offset,
      expected: `block ${Buffer.from(place.id).toString('hex').slice(0, 16)}…`,
    },
    hint: 'Run `rehydrate verify` to see which restore points need it.',
    cause,
  });
}

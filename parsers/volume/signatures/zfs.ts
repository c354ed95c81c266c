import { layout } from '../../../core/index.ts';
import type { Signature } from './signature.ts';
import { hasMagic, type Window } from './window.ts';

/** "ZFS On-Disk Specification", chapter 1: each label of 256 KiB holds name-value pairs and uberblocks. */
const LABEL_BYTES = 256 * 1024;
const PAIRS_AT = 16 * 1024;
const PAIRS_BYTES = 112 * 1024;
const UBERBLOCKS_AT = 128 * 1024;
const UBERBLOCK_MAGIC = 0x00bab10cn;
const UBERBLOCK_STEP = 1024;
const UBERBLOCKS = 128;
const PAIRS_MAX = 512;
/** Encoding XDR, little-endian writer; version 0, flags 1 (unique names). */
const PAIRS_MAGIC = '\x01\x01\0\0\0\0\0\0\0\0\0\x01';
const TYPE_NUMBER = 8;
const TYPE_TEXT = 9;

export async function zfsSignature(window: Window): Promise<Signature | undefined> {
  const aligned = Math.floor(window.size / LABEL_BYTES) * LABEL_BYTES;
  for (const labelAt of [0, LABEL_BYTES, aligned - 2 * LABEL_BYTES, aligned - LABEL_BYTES]) {
    const mark = await window.bytes(labelAt + PAIRS_AT, PAIRS_MAGIC.length);
    if (mark === undefined || !hasMagic(mark, 0, PAIRS_MAGIC)) continue;
    if (!(await hasUberblock(window, labelAt))) continue;
    const pairs = await window.bytes(labelAt + PAIRS_AT, PAIRS_BYTES);
    const { name = '', pool_guid: uuid = '' } = pairs === undefined ? {} : readPairs(pairs);
    return { kind: 'pool member', type: 'ZFS', label: name, uuid };
  }
  return undefined;
}

async function hasUberblock(window: Window, labelAt: number): Promise<boolean> {
  const magicsOf = await window.view(labelAt + UBERBLOCKS_AT, UBERBLOCKS * UBERBLOCK_STEP);
  if (magicsOf === undefined) return false;
  for (let at = 0; at < magicsOf.byteLength; at += UBERBLOCK_STEP) {
    if (magicsOf.getBigUint64(at, true) === UBERBLOCK_MAGIC) return true;
    if (magicsOf.getBigUint64(at) === UBERBLOCK_MAGIC) return true;
  }
  return false;
}

/** XDR (RFC 4506): numbers big-endian, texts with their length in front and padded to four bytes. */
function readPairs(bytes: Uint8Array): { name?: string; pool_guid?: string } {
  const view = layout.viewOf(bytes);
  const found: Record<string, string> = {};
  let at = 12;
  for (let count = 0; count < PAIRS_MAX && at + 20 <= bytes.byteLength; count += 1) {
    const size = view.getUint32(at);
    const nameLength = view.getUint32(at + 8);
    const valueAt = at + 12 + Math.ceil(nameLength / 4) * 4;
    if (size < 20 || at + size > bytes.byteLength || valueAt + 16 > at + size) break;
    const name = latin(bytes, at + 12, nameLength);
    const type = view.getUint32(valueAt);
    if (type === TYPE_NUMBER) found[name] = view.getBigUint64(valueAt + 8).toString();
    if (type === TYPE_TEXT) {
      const length = Math.min(view.getUint32(valueAt + 8), size);
      found[name] = latin(bytes, valueAt + 12, length);
    }
    at += size;
  }
  return found;
}

function latin(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.subarray(at, at + length)).toString('utf8');
}

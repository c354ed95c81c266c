import { layout } from '../../../core/index.ts';
import { formatGuid } from '../../partition/guid.ts';
import type { Signature } from './signature.ts';
import { hasMagic, labelAt, type Window } from './window.ts';

const FVE = '-FVE-FS-';
const TO_GO_GUID = '\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01';
const METADATA_BYTES_MAX = 64 * 1024;
const ENTRIES_MAX = 256;
const ENTRY_DESCRIPTION = 7;

/** Libbde's "BitLocker Drive Encryption (BDE) format": header, section 2; metadata, section 4. */
const Metadata = {
  size: layout.u32le(64),
  headerBytes: layout.u32le(72),
  volumeId: layout.bytes(80, 16),
} as const;
const Entry = { size: layout.u16le(0), type: layout.u16le(2) } as const;
const METADATA_HEADER_AT = 64;
const METADATA_HEAD_BYTES = 112;

/** BitLocker of Windows Vista and later, and BitLocker To Go. */
export async function bitLockerSignature(window: Window): Promise<Signature | undefined> {
  const { head } = window;
  const isFixed = hasMagic(head, 3, FVE);
  const isToGo = hasMagic(head, 3, 'MSWIN4.1') && hasMagic(head, 424, TO_GO_GUID);
  if (!isFixed && !isToGo) return undefined;
  const named = await describe(window, isToGo ? 440 : 176);
  return { kind: 'encrypted', type: 'BitLocker', ...named };
}

async function describe(
  window: Window,
  pointerAt: number,
): Promise<{ label: string; uuid: string }> {
  const nothing = { label: '', uuid: '' };
  const pointer = layout.bits64le(pointerAt)(layout.viewOf(window.head));
  if (pointer > BigInt(window.size)) return nothing;
  const metadataAt = Number(pointer);
  const first = await window.bytes(metadataAt, METADATA_HEAD_BYTES);
  if (first === undefined || !hasMagic(first, 0, FVE)) return nothing;
  const view = layout.viewOf(first);
  const uuid = formatGuid(Metadata.volumeId(view));
  const size = Math.min(Metadata.size(view), METADATA_BYTES_MAX);
  const rest = await window.bytes(metadataAt + METADATA_HEADER_AT, size);
  return { uuid, label: rest === undefined ? '' : description(rest, Metadata.headerBytes(view)) };
}

function description(bytes: Uint8Array, from: number): string {
  const view = layout.viewOf(bytes);
  let at = from;
  for (let count = 0; count < ENTRIES_MAX && at + 8 <= bytes.byteLength; count += 1) {
    const size = Entry.size(view, at);
    if (size < 8 || at + size > bytes.byteLength) return '';
    if (Entry.type(view, at) === ENTRY_DESCRIPTION)
      return labelAt(bytes, at + 8, size - 8, 'utf-16le');
    at += size;
  }
  return '';
}

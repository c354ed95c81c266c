import type { Signature } from './signature.ts';
import { hasMagic, labelAt, type Window } from './window.ts';

const PRIMARY = 'LUKS\xba\xbe';
const SECONDARY = 'SKUL\xba\xbe';
/** LUKS2 on-disk format 1.1, section 2.1: where the second header can be. */
const SECONDARY_AT = [14, 15, 16, 17, 18, 19, 20, 21, 22].map((power) => 2 ** power);
const HEADER_BYTES = 512;

/** LUKS1 on-disk format, section 2; LUKS2, section 2.1: version 6, label 24, UUID 168 as text. */
export async function luksSignature({ head }: Window): Promise<Signature | undefined> {
  return hasMagic(head, 0, PRIMARY) ? describe(head.subarray(0, HEADER_BYTES)) : undefined;
}

/** What is left of a LUKS2 volume whose first sectors were overwritten; whatever else is there counts more. */
export async function luksRemains(window: Window): Promise<Signature | undefined> {
  for (const at of SECONDARY_AT) {
    const header = await window.bytes(at, HEADER_BYTES);
    if (header !== undefined && hasMagic(header, 0, SECONDARY)) return describe(header);
  }
  return undefined;
}

function describe(header: Uint8Array): Signature {
  const label = header[7] === 2 ? labelAt(header, 24, 48) : '';
  return { kind: 'encrypted', type: 'LUKS', label, uuid: labelAt(header, 168, 40) };
}

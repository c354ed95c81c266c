import { layout } from '../../../core/index.ts';
import { dashedId } from '../lvm/label.ts';
import type { Signature } from './signature.ts';
import { hasMagic, type Window } from './window.ts';

const SECTOR = 512;
const contentAt = layout.u32le(20);

/** An LVM2 label in one of the first four sectors, damaged or not. */
export async function lvmSignature({ head }: Window): Promise<Signature | undefined> {
  for (let at = 0; at + SECTOR <= Math.min(head.byteLength, 4 * SECTOR); at += SECTOR) {
    if (!hasMagic(head, at, 'LABELONE') || !hasMagic(head, at + 24, 'LVM2 001')) continue;
    const idAt = contentAt(layout.viewOf(head), at);
    const sector = head.subarray(at, at + SECTOR);
    const id = Buffer.from(sector.subarray(idAt, idAt + 32)).toString('latin1');
    const uuid = /^[A-Za-z0-9]{32}$/.test(id) ? dashedId(id) : '';
    return { kind: 'physical volume', type: 'LVM2', label: '', uuid };
  }
  return undefined;
}

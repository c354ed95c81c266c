import { layout } from '../../../core/index.ts';
import type { Signature } from './signature.ts';
import { hasMagic, type Window } from './window.ts';

const AT = 1024;
const allocationBytes = layout.u32be(20);

/** "Inside Macintosh: Files", 2-59: the master directory block. One that wraps HFS+ says so at 124. */
export async function hfsSignature(window: Window): Promise<Signature | undefined> {
  const bytes = await window.bytes(AT, 162);
  if (bytes === undefined || !hasMagic(bytes, 0, 'BD')) return undefined;
  const unit = allocationBytes(layout.viewOf(bytes));
  if (unit === 0 || unit % 512 !== 0) return undefined;
  const type = hasMagic(bytes, 124, 'H+') ? 'HFS+' : 'HFS';
  const length = Math.min(bytes[36] ?? 0, 27);
  const label =
    type === 'HFS' ? Buffer.from(bytes.subarray(37, 37 + length)).toString('latin1') : '';
  return { kind: 'file system', type, label, uuid: '' };
}

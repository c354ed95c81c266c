import { layout } from '../../../core/index.ts';
import type { Signature } from './signature.ts';
import { hasMagic, labelAt, uuidAt, type Window } from './window.ts';

const PAGE_SIZES = [4096, 8192, 16_384, 32_768, 65_536];
const SUSPENDED = ['S1SUSPEND', 'S2SUSPEND', 'ULSUSPEND', 'LINHIB0001'];
const HIBERNATION_IMAGE = '\xed\xc3\x02\xe9\x98\x56\xe5\x0c';

/** linux/include/linux/swap.h, `swap_header`: the mark ends the first page; UUID at 1036, label at 1052. */
export async function swapSignature(window: Window): Promise<Signature | undefined> {
  const { head } = window;
  if (hasMagic(head, 0, HIBERNATION_IMAGE)) return swap('hibernation image', {});
  for (const page of PAGE_SIZES) {
    const at = page - 10;
    const named = { uuid: uuidAt(head, 1036), label: labelAt(head, 1052, 16) };
    if (hasMagic(head, at, 'SWAPSPACE2')) {
      const version = layout.viewOf(head).getUint32(1024, true);
      return swap('swap', version === 1 || version === 0x0100_0000 ? named : {});
    }
    if (hasMagic(head, at, 'SWAP-SPACE')) return swap('swap', {});
    if (SUSPENDED.some((magic) => hasMagic(head, at, magic))) {
      return swap('hibernation image', named);
    }
  }
  return undefined;
}

function swap(type: string, named: Partial<Signature>): Signature {
  return { kind: 'swap', type, label: '', uuid: '', ...named };
}

import { Record } from './layout.ts';

/**
 * Structures of more than a sector carry a stamp at the end of every 512 bytes, whatever the disk's
 * sectors are, so that a write that was cut off shows. What belongs there lies in the header.
 */
const STRIDE_BYTES = 512;
const HEADER_BYTES_MIN = 0x18;

/**
 * Puts the bytes back in place.
 *
 * @param view the whole structure; changed.
 * @returns what is wrong, when it was torn or its header is damaged; nothing is changed then.
 */
export function undoFixups(view: DataView): string | undefined {
  const fixupsAt = Record.fixupsAt(view);
  const count = Record.fixupCount(view);
  const sectors = view.byteLength / STRIDE_BYTES;
  if (count !== sectors + 1) return `${count} fixups for ${sectors} sectors`;
  if (
    fixupsAt % 2 !== 0 ||
    fixupsAt < HEADER_BYTES_MIN ||
    fixupsAt + count * 2 > STRIDE_BYTES - 2
  ) {
    return `fixups at ${fixupsAt}`;
  }
  const stamp = view.getUint16(fixupsAt, true);
  for (let sector = 1; sector <= sectors; sector += 1) {
    const found = view.getUint16(sector * STRIDE_BYTES - 2, true);
    if (found !== stamp) return `stamp ${found} in sector ${sector - 1} instead of ${stamp}`;
  }
  for (let sector = 1; sector <= sectors; sector += 1) {
    const saved = view.getUint16(fixupsAt + sector * 2, true);
    view.setUint16(sector * STRIDE_BYTES - 2, saved, true);
  }
  return undefined;
}

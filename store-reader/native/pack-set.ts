import { RestoreError } from '../../core/index.ts';
import type { BlockStore } from './block-store.ts';
import { PACK_ID_BYTES } from './format.ts';
import { type PointRecord, referenceOf } from './records.ts';

const PAGE_IDS_MAX = 512;

/**
 * Cuts a sorted list of pack ids into pages at places that the ids themselves choose, so that two
 * points with mostly the same packs share most pages, and store them once.
 */
export function cutPackSet(packs: Iterable<string>): Uint8Array[] {
  const pages: Uint8Array[] = [];
  let page: string[] = [];
  for (const pack of [...packs].sort()) {
    page.push(pack);
    if (page.length === PAGE_IDS_MAX || pack.endsWith('00')) {
      pages.push(Buffer.from(page.join(''), 'hex'));
      page = [];
    }
  }
  if (page.length > 0) pages.push(Buffer.from(page.join(''), 'hex'));
  return pages;
}

/**
 * The packs that a point needs, those that hold this very list included.
 *
 * @throws RestoreError `CORRUPT` when a page of the list is damaged or the count is not right.
 */
export async function readPackSet(blocks: BlockStore, point: PointRecord): Promise<Set<string>> {
  const packs = new Set<string>();
  for (const page of point.packs.pages) {
    const bytes = Buffer.from(await blocks.pageBytes(referenceOf(page)));
    for (let at = 0; at < bytes.length; at += PACK_ID_BYTES) {
      packs.add(bytes.subarray(at, at + PACK_ID_BYTES).toString('hex'));
    }
  }
  if (packs.size === point.packs.count) {
    // The list does not name the packs that it lies in itself.
    for (const page of point.packs.pages) packs.add(page.pack);
    return packs;
  }
  throw new RestoreError('CORRUPT', 'a restore point’s list of packs is not complete', {
    where: { object: `point ${point.id}`, expected: point.packs.count, found: packs.size },
  });
}

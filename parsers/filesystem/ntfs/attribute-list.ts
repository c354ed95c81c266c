import { layout } from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import { recordNumber } from './file-record.ts';
import { LIST_ENTRY_BYTES, ListEntry } from './layout.ts';

/** Where one record of an attribute lies. */
export interface ListedAttribute {
  readonly type: number;
  readonly lowestCluster: number;
  readonly recordNumber: number;
  readonly sequence: number;
  readonly instance: number;
}

/** Windows stops there too. */
export const ATTRIBUTE_LIST_BYTES_MAX = 256 * 1024;

/** @throws RestoreError `CORRUPT` when an entry does not fit. */
export function parseAttributeList(list: Uint8Array): ListedAttribute[] {
  const view = layout.viewOf(list);
  const entries: ListedAttribute[] = [];
  // Each entry takes 26 bytes at least, so this ends.
  for (let at = 0; at + LIST_ENTRY_BYTES <= list.byteLength; ) {
    const length = ListEntry.length(view, at);
    if (length < LIST_ENTRY_BYTES || at + length > list.byteLength) {
      throw corrupt('an attribute list is damaged', {
        structure: '$ATTRIBUTE_LIST',
        offset: at,
        expected: `an entry of at most ${list.byteLength - at} bytes`,
        found: length,
      });
    }
    entries.push({
      type: ListEntry.type(view, at),
      lowestCluster: ListEntry.lowestCluster(view, at),
      recordNumber: recordNumber(ListEntry.recordLow(view, at), ListEntry.recordHigh(view, at)),
      sequence: ListEntry.sequence(view, at),
      instance: ListEntry.instance(view, at),
    });
    at += length;
  }
  return entries;
}

import { type Place, showName } from '../../../vfs/index.ts';
import type { InspectContext } from '../session.ts';

/** Tells why the end of a list is in another order than its beginning. */
export function warnUnsorted({ remarks }: InspectContext, { path }: Place): void {
  remarks.warn(`${showName(path)} has too many files to sort them all: the last are told as read`);
}

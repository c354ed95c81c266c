import { RestoreError } from '../../../core/index.ts';

/**
 * POSIX ACLs as ext4 stores them (`fs/ext4/acl.h`: version 1, entries of 4 or 8 bytes) and as
 * `getxattr(2)` hands them out (`linux/posix_acl_xattr.h`: version 2, entries of 8 bytes).
 */
const STORED_VERSION = 1;
const INTERCHANGE_VERSION = 2;
const NO_ID = 0xffff_ffff;
/** `ACL_USER` and `ACL_GROUP` name someone; the others do not. */
const TAGS_WITH_ID: readonly number[] = [0x2, 0x8];
const TAGS_WITHOUT_ID: readonly number[] = [0x1, 0x4, 0x10, 0x20];

/** @throws RestoreError `CORRUPT` when the stored form is none. */
export function aclToInterchange(stored: Uint8Array): Uint8Array {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  if (stored.byteLength < 4 || view.getUint32(0, true) !== STORED_VERSION) {
    throw bad('a_version 1', stored.byteLength < 4 ? 'none' : view.getUint32(0, true));
  }
  const words: [tag: number, permissions: number, id: number][] = [];
  for (let at = 4; at < stored.byteLength; ) {
    const tag = at + 4 <= stored.byteLength ? view.getUint16(at, true) : 0;
    const length = TAGS_WITH_ID.includes(tag) ? 8 : TAGS_WITHOUT_ID.includes(tag) ? 4 : 0;
    if (length === 0 || at + length > stored.byteLength) throw bad('an entry', `tag ${tag}`);
    const id = length === 8 ? view.getUint32(at + 4, true) : NO_ID;
    words.push([tag, view.getUint16(at + 2, true), id]);
    at += length;
  }
  const result = new Uint8Array(4 + words.length * 8);
  const target = new DataView(result.buffer);
  target.setUint32(0, INTERCHANGE_VERSION, true);
  for (const [index, [tag, permissions, id]] of words.entries()) {
    target.setUint16(4 + index * 8, tag, true);
    target.setUint16(6 + index * 8, permissions, true);
    target.setUint32(8 + index * 8, id, true);
  }
  return result;
}

function bad(expected: string, found: string | number): RestoreError {
  return new RestoreError('CORRUPT', 'an access control list is damaged', {
    where: { structure: 'ext4_acl', expected, found },
  });
}

import { layout } from '../../core/index.ts';

const KEYWORDS: Readonly<Record<string, string>> = {
  'system.posix_acl_access': 'SCHILY.acl.access',
  'system.posix_acl_default': 'SCHILY.acl.default',
};

/** The kernel's interchange form: `struct posix_acl_xattr_header` and `_entry`, little-endian. */
const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const Entry = { tag: layout.u16le(0), permissions: layout.u16le(2), id: layout.u32le(4) } as const;

/** acl(5): whom a tag is for; the named ones carry an id. */
const TAGS: Readonly<Record<number, { readonly word: string; readonly isNamed: boolean }>> = {
  0x01: { word: 'user', isNamed: false },
  0x02: { word: 'user', isNamed: true },
  0x04: { word: 'group', isNamed: false },
  0x08: { word: 'group', isNamed: true },
  0x10: { word: 'mask', isNamed: false },
  0x20: { word: 'other', isNamed: false },
};

/**
 * A POSIX ACL's extended attribute as tar's own record for it, with numbers for names: names are the
 * affair of the machine that unpacks. `undefined` for any other attribute, and for one that is no
 * ACL by its content, which then stays what it is.
 */
export function aclText(
  name: string,
  value: Uint8Array,
): { readonly keyword: string; readonly text: string } | undefined {
  const keyword = KEYWORDS[name];
  const view = layout.viewOf(value);
  if (keyword === undefined || value.byteLength < HEADER_BYTES) return undefined;
  if ((value.byteLength - HEADER_BYTES) % ENTRY_BYTES !== 0) return undefined;
  if (view.getUint32(0, true) !== VERSION) return undefined;
  const entries: string[] = [];
  for (let at = HEADER_BYTES; at < value.byteLength; at += ENTRY_BYTES) {
    const tag = TAGS[Entry.tag(view, at)];
    if (tag === undefined) return undefined;
    const who = tag.isNamed ? String(Entry.id(view, at)) : '';
    entries.push(`${tag.word}:${who}:${permissionText(Entry.permissions(view, at))}`);
  }
  return { keyword, text: entries.join(',') };
}

function permissionText(bits: number): string {
  return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${(bits & 1) === 0 ? '-' : 'x'}`;
}

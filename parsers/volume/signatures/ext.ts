import { layout } from '../../../core/index.ts';
import type { Signature } from './signature.ts';
import { labelAt, uuidAt, type Window } from './window.ts';

const AT = 1024;
const BYTES = 1024;

/** ext4 disk layout, "super block". */
const Superblock = {
  magic: layout.u16le(0x38),
  compatible: layout.u32le(0x5c),
  incompatible: layout.u32le(0x60),
  readOnlyCompatible: layout.u32le(0x64),
} as const;

const MAGIC = 0xef53;
const HAS_JOURNAL = 0x4;
const JOURNAL_DEVICE = 0x8;
/** filetype, recover, meta_bg; sparse_super, large_file, btree_dir: what ext3 had. */
const EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x10;
const EXT3_READ_ONLY = 0x1 | 0x2 | 0x4;

/** ext2, 3 or 4, told apart by their features as the kernels did. */
export async function extSignature(window: Window): Promise<Signature | undefined> {
  const bytes = await window.bytes(AT, BYTES);
  if (bytes === undefined) return undefined;
  const view = layout.viewOf(bytes);
  if (Superblock.magic(view) !== MAGIC) return undefined;
  const incompatible = Superblock.incompatible(view);
  const named = { label: labelAt(bytes, 0x78, 16), uuid: uuidAt(bytes, 0x68) };
  if ((incompatible & JOURNAL_DEVICE) !== 0) {
    return { kind: 'reserved', type: 'ext journal', ...named };
  }
  const isNewer =
    (incompatible & ~EXT3_INCOMPATIBLE) !== 0 ||
    (Superblock.readOnlyCompatible(view) & ~EXT3_READ_ONLY) !== 0;
  const hasJournal = (Superblock.compatible(view) & HAS_JOURNAL) !== 0;
  const type = isNewer ? 'ext4' : hasJournal ? 'ext3' : 'ext2';
  return { kind: 'file system', type, ...named };
}

import { RestoreError } from '../../../core/index.ts';

/**
 * Feature bits of the superblock. Kernel documentation, filesystems/ext4, "Super Block",
 * `s_feature_compat`, `s_feature_incompat`, `s_feature_ro_compat`; names as `dumpe2fs` prints them.
 */
export const COMPAT = {
  has_journal: 0x4,
  ext_attr: 0x8,
  resize_inode: 0x10,
  dir_index: 0x20,
  sparse_super2: 0x200,
  fast_commit: 0x400,
  orphan_file: 0x1000,
} as const;

export const INCOMPAT = {
  compression: 0x1,
  filetype: 0x2,
  needs_recovery: 0x4,
  journal_dev: 0x8,
  meta_bg: 0x10,
  extent: 0x40,
  '64bit': 0x80,
  mmp: 0x100,
  flex_bg: 0x200,
  ea_inode: 0x400,
  dirdata: 0x1000,
  metadata_csum_seed: 0x2000,
  large_dir: 0x4000,
  inline_data: 0x8000,
  encrypt: 0x1_0000,
  casefold: 0x2_0000,
} as const;

export const RO_COMPAT = {
  sparse_super: 0x1,
  large_file: 0x2,
  btree_dir: 0x4,
  huge_file: 0x8,
  uninit_bg: 0x10,
  bigalloc: 0x200,
  metadata_csum: 0x400,
  orphan_present: 0x1_0000,
} as const;

/** Well-formed, and not read: each changes how the bytes of files or directories are stored. */
const NOT_READ: Readonly<Record<string, string>> = {
  compression: 'files compressed by e2compr',
  journal_dev: 'a journal of its own device, which holds no files',
  dirdata: "Lustre's additions to directory entries",
};

/** @throws RestoreError `UNSUPPORTED` naming the features, when one must be known and is not. */
export function checkIncompatible(features: number): void {
  const refused: string[] = [];
  for (let bit = 0; bit < 32; bit += 1) {
    const mask = 2 ** bit;
    if (Math.floor(features / mask) % 2 === 0) continue;
    const name = nameOf(mask);
    if (name === undefined) refused.push(`I${bit}`);
    else if (NOT_READ[name] !== undefined) refused.push(`${name} (${NOT_READ[name]})`);
  }
  if (refused.length === 0) return;
  throw new RestoreError(
    'UNSUPPORTED',
    `the file system uses what is not read: ${refused.join(', ')}`,
    {
      where: { structure: 's_feature_incompat', found: `0x${features.toString(16)}` },
      hint: 'Export the disk and mount it with a system that knows the feature.',
    },
  );
}

function nameOf(mask: number): string | undefined {
  return Object.entries(INCOMPAT).find(([, value]) => value === mask)?.[0];
}

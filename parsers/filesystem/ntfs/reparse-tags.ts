/** Reparse tags whose data is read ([MS-FSCC] 2.1.2.1). */
export const TAG = {
  MOUNT_POINT: 0xa000_0003,
  SYMLINK: 0xa000_000c,
  NFS: 0x8000_0014,
  WOF: 0x8000_0017,
  APPEXECLINK: 0x8000_001b,
  LX_SYMLINK: 0xa000_001d,
  AF_UNIX: 0x8000_0023,
  LX_FIFO: 0x8000_0024,
  LX_CHR: 0x8000_0025,
  LX_BLK: 0x8000_0026,
} as const;

/** Files of a cloud's synchronisation have one of sixteen tags, alike but for this nibble. */
export const CLOUD_TAG = 0x9000_001a;
export const CLOUD_TAG_MASK = 0xffff_0fff;

/** The names of tags of which the name is all that is told ([MS-FSCC] 2.1.2.1). */
export const REPARSE_TAG_NAMES: Readonly<Record<number, string>> = {
  0xc000_0004: 'HSM',
  0x8000_0005: 'DRIVE_EXTENDER',
  0x8000_0006: 'HSM2',
  0x8000_0007: 'SIS',
  0x8000_0008: 'WIM',
  0x8000_0009: 'CSV',
  0x8000_000a: 'DFS',
  0x8000_000b: 'FILTER_MANAGER',
  0x8000_0012: 'DFSR',
  0x8000_0013: 'DEDUP',
  0x8000_0015: 'FILE_PLACEHOLDER',
  0x8000_0016: 'DFM',
  0x8000_0018: 'WCI',
  0x9000_1018: 'WCI_1',
  0xa000_0019: 'GLOBAL_REPARSE',
  0x9000_001c: 'PROJFS',
  0x8000_001e: 'STORAGE_SYNC',
  0xa000_001f: 'WCI_TOMBSTONE',
  0x8000_0020: 'UNHANDLED',
  0x8000_0021: 'ONEDRIVE',
  0xa000_0022: 'PROJFS_TOMBSTONE',
  0xa000_0027: 'WCI_LINK',
  0xa000_1027: 'WCI_LINK_1',
  0xa000_0028: 'DATALESS_CIM',
};

/**
 * Where the content of a file with this tag is: `recalled` ones have it in their unnamed stream
 * unless an attribute says that reading fetches it first. Tags not named here keep it elsewhere, for
 * all that can be known.
 */
export const CONTENT_RULES: Readonly<Record<number, 'stored' | 'recalled'>> = {
  0xc000_0004: 'recalled',
  0x8000_0006: 'recalled',
  0x8000_0015: 'recalled',
  0x8000_001e: 'recalled',
  0x8000_0021: 'recalled',
  0x9000_001c: 'recalled',
  0x8000_0012: 'stored',
};

import { layout } from '../../../core/index.ts';
import type { ContentKind } from '../model.ts';
import type { Signature } from './signature.ts';
import { hasMagic, labelAt, uuidAt, type Window } from './window.ts';

/** A kind that is known by bytes at a fixed place in the first 68 KiB. */
interface Row {
  readonly type: string;
  readonly kind: ContentKind;
  /** Any of them; one character a byte. */
  readonly magics: readonly (readonly [at: number, magic: string])[];
  readonly uuid?: (head: Uint8Array) => string;
  readonly label?: (head: Uint8Array) => string;
}

const uuid =
  (at: number): ((head: Uint8Array) => string) =>
  (head) =>
    uuidAt(head, at);
const label =
  (at: number, length: number, encoding?: 'utf-8' | 'utf-16le'): ((head: Uint8Array) => string) =>
  (head) =>
    labelAt(head, at, length, encoding);
const fileSystem = (type: string, at: number, magic: string, more: Partial<Row> = {}): Row => ({
  ...{ type, kind: 'file system', magics: [[at, magic]] },
  ...more,
});

const KIB = 1024;
const REISER_AT = 64 * KIB;

/**
 * Sources: each kind's on-disk format as its own project documents it; the identifiers are those
 * that `blkid` prints. Members of something larger come before file systems.
 */
const FIXED_ROWS: readonly Row[] = [
  {
    type: 'FileVault 2',
    kind: 'encrypted',
    magics: [[88, 'CS']],
    uuid: uuid(304),
  },
  { type: 'VDO', kind: 'pool member', magics: [[0, 'dmvdo001']], uuid: uuid(40) },
  {
    type: 'Stratis',
    kind: 'pool member',
    magics: [
      [512 + 4, '!Stra0tis\x86\xff\x02^\x41rh'],
      [9 * 512 + 4, '!Stra0tis\x86\xff\x02^\x41rh'],
    ],
  },
  { type: 'Ceph BlueStore', kind: 'pool member', magics: [[0, 'bluestore block device\n']] },
  { type: 'UBI', kind: 'pool member', magics: [[0, 'UBI#']] },
  // XFS algorithms and data structures, "superblocks": sb_uuid 32, sb_fname 108
  fileSystem('XFS', 0, 'XFSB', { uuid: uuid(32), label: label(108, 12) }),
  // btrfs on-disk format: superblock at 64 KiB; magic 0x40, fsid 0x20, label 0x12b
  fileSystem('btrfs', 64 * KIB + 0x40, '_BHRfS_M', {
    uuid: uuid(64 * KIB + 0x20),
    label: label(64 * KIB + 0x12b, 256),
  }),
  // MS-ReFS boot sector: the name follows three bytes of a jump
  fileSystem('ReFS', 0, '\0\0\0ReFS\0\0\0\0'),
  // exFAT specification 3.1: FileSystemName 3, VolumeSerialNumber 100
  fileSystem('exFAT', 3, 'EXFAT   ', { uuid: (head) => serial(head, 100) }),
  // NTFS boot sector: OEM id 3, volume serial number 0x48
  fileSystem('NTFS', 3, 'NTFS    ', {
    uuid: (head) =>
      layout.bits64le(0x48)(layout.viewOf(head)).toString(16).toUpperCase().padStart(16, '0'),
  }),
  // Apple File System Reference, "nx_superblock_t": magic 32, uuid 72
  fileSystem('APFS', 32, 'NXSB', { uuid: uuid(72) }),
  fileSystem('HFS+', KIB, 'H+\0\x04', {}),
  fileSystem('HFS+', KIB, 'HX\0\x05', {}),
  fileSystem('squashfs', 0, 'hsqs'),
  fileSystem('squashfs', 0, 'sqsh'),
  fileSystem('squashfs', 0, 'qshs'),
  // linux/include/linux/f2fs_fs.h: superblock at 1 KiB; uuid 108, volume_name 124
  fileSystem('F2FS', KIB, '\x10\x20\xf5\xf2', {
    uuid: uuid(KIB + 108),
    label: label(KIB + 124, 1024, 'utf-16le'),
  }),
  // linux/fs/jfs/jfs_superblock.h: at 32 KiB; s_uuid 136, s_label 152
  fileSystem('JFS', 32 * KIB, 'JFS1', {
    uuid: uuid(32 * KIB + 136),
    label: label(32 * KIB + 152, 16),
  }),
  ...['ReIsErFs', 'ReIsEr2Fs', 'ReIsEr3Fs'].map((magic) =>
    fileSystem('ReiserFS', REISER_AT + 52, magic, {
      uuid: magic === 'ReIsErFs' ? () => '' : uuid(REISER_AT + 84),
      label: label(REISER_AT + 100, 16),
    }),
  ),
  fileSystem('Reiser4', REISER_AT, 'ReIsEr4', {
    uuid: uuid(REISER_AT + 20),
    label: label(REISER_AT + 36, 16),
  }),
  // linux/include/uapi/linux/nilfs2_ondisk.h: superblock at 1 KiB; magic 6, uuid 152, name 168
  fileSystem('NILFS2', KIB + 6, '\x34\x34', { uuid: uuid(KIB + 152), label: label(KIB + 168, 80) }),
  // linux/fs/erofs/erofs_fs.h: superblock at 1 KiB; uuid 48, volume_name 64
  fileSystem('EROFS', KIB, '\xe2\xe1\xf5\xe0', {
    uuid: uuid(KIB + 48),
    label: label(KIB + 64, 16),
  }),
  // linux/include/uapi/linux/gfs2_ondisk.h: at 64 KiB; type 1, format 100; locktable 160, uuid 256
  fileSystem('GFS2', 64 * KIB, '\x01\x16\x19\x70\0\0\0\x01', {
    uuid: uuid(64 * KIB + 256),
    label: label(64 * KIB + 160, 64),
  }),
  ...[1, 2, 4, 8].map((at) =>
    // linux/fs/ocfs2/ocfs2_fs.h: s_label 0x110, s_uuid 0x150 in the superblock's inode
    fileSystem('OCFS2', at * KIB, 'OCFSV2', {
      uuid: uuid(at * KIB + 0x150),
      label: label(at * KIB + 0x110, 64),
    }),
  ),
  // FreeBSD sys/ufs/ffs/fs.h: superblock at 8 or 64 KiB; magic 1372, fs_id 144
  fileSystem('UFS', 8 * KIB + 1372, '\x54\x19\x01\x00', { uuid: ufsId(8 * KIB + 144) }),
  fileSystem('UFS', 64 * KIB + 1372, '\x19\x01\x54\x19', { uuid: ufsId(64 * KIB + 144) }),
  fileSystem('HPFS', 8 * KIB, '\x49\xe8\x95\xf9', {
    uuid: (head) => serial(head, 0x27),
    label: label(0x2b, 11),
  }),
  fileSystem('BeFS', 512 + 32, '1SFB', { label: label(512, 32) }),
  fileSystem('NSS', 4 * KIB, 'SPB5'),
  fileSystem('UBIFS', 0, '\x31\x18\x10\x06'),
  fileSystem('cramfs', 0, '\x45\x3d\xcd\x28', { label: label(48, 16) }),
  fileSystem('cramfs', 0, '\x28\xcd\x3d\x45', { label: label(48, 16) }),
  fileSystem('romfs', 0, '-rom1fs-', { label: label(16, 300) }),
  fileSystem('VxFS', KIB, '\xf5\xfc\x01\xa5'),
  fileSystem('VxFS', 8 * KIB, '\xa5\x01\xfc\xf5'),
  fileSystem('zonefs', 0, 'SFOZ', { uuid: uuid(32), label: label(48, 32) }),
  { type: 'XFS log', kind: 'reserved', magics: [[0, '\xfe\xed\xba\xbe']] },
];

/** Two numbers, little-endian. */
function ufsId(at: number): (head: Uint8Array) => string {
  return (head) =>
    [at, at + 4]
      .map((place) => layout.u32le(place)(layout.viewOf(head)).toString(16).padStart(8, '0'))
      .join('');
}

export function fixedSignatures({ head }: Window): Signature[] {
  const found: Signature[] = [];
  for (const row of FIXED_ROWS) {
    if (!row.magics.some(([at, magic]) => hasMagic(head, at, magic))) continue;
    const { type, kind } = row;
    found.push({ type, kind, label: row.label?.(head) ?? '', uuid: row.uuid?.(head) ?? '' });
  }
  return found;
}

/** A volume serial number as `blkid` has it: 12AB-34CD. */
export function serial(head: Uint8Array, at: number): string {
  const hex = layout.u32le(at)(layout.viewOf(head)).toString(16).toUpperCase().padStart(8, '0');
  return `${hex.slice(0, 4)}-${hex.slice(4)}`;
}

import { layout } from '../../../core/index.ts';
import type { Signature } from './signature.ts';
import { hasMagic, labelAt, uuidAt, type Window } from './window.ts';

const MD_MAGIC = 0xa92b4efc;
const SUPERBLOCK_BYTES = 256;

/** linux/include/uapi/linux/raid/md_p.h: `mdp_superblock_1`. */
const Md1 = { magic: layout.u32le(0), version: layout.u32le(4) } as const;
/** The same file: `mdp_super_t`, version 0.90. */
const Md0 = {
  version: (isBig: boolean) => (isBig ? layout.u32be(4) : layout.u32le(4)),
  words: [20, 52, 56, 60],
} as const;

/** Linux MD: 1.1 at the start, 1.2 at 4 KiB, 1.0 and 0.90 near the end. */
export async function mdSignature(window: Window): Promise<Signature | undefined> {
  const end10 = Math.floor((Math.floor(window.size / 512) - 16) / 8) * 8 * 512;
  for (const at of [0, 4096, end10]) {
    const bytes = await window.bytes(at, SUPERBLOCK_BYTES);
    if (bytes === undefined) continue;
    const view = layout.viewOf(bytes);
    if (Md1.magic(view) !== MD_MAGIC || Md1.version(view) !== 1) continue;
    return raid('MD RAID', { label: labelAt(bytes, 32, 32), uuid: uuidAt(bytes, 16) });
  }
  const bytes = await window.bytes(Math.floor(window.size / 65_536) * 65_536 - 65_536, 512);
  if (bytes === undefined) return undefined;
  const view = layout.viewOf(bytes);
  const isBig = layout.u32be(0)(view) === MD_MAGIC;
  if (!isBig && layout.u32le(0)(view) !== MD_MAGIC) return undefined;
  if (Md0.version(isBig)(view) !== 0) return undefined;
  const words = Md0.words.map((at) => view.getUint32(at, !isBig).toString(16).padStart(8, '0'));
  const uuid = words.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return raid('MD RAID', { uuid });
}

/** What the firmware of a controller writes into the last sectors, counted from the end. */
const FIRMWARE: readonly {
  readonly type: string;
  readonly fromEnd: number;
  readonly at: number;
  readonly magic: string;
}[] = [
  // SNIA Common RAID Disk Data Format 2.0, section 5.5: the anchor header
  { type: 'DDF RAID', fromEnd: 1, at: 0, magic: '\xde\x11\xde\x11' },
  { type: 'DDF RAID', fromEnd: 257, at: 0, magic: '\xde\x11\xde\x11' },
  { type: 'Intel RAID', fromEnd: 2, at: 0, magic: 'Intel Raid ISM Cfg Sig. ' },
  { type: 'NVIDIA RAID', fromEnd: 2, at: 0, magic: 'NVIDIA  ' },
  { type: 'LSI RAID', fromEnd: 1, at: 0, magic: '$XIDE$' },
  { type: 'Adaptec RAID', fromEnd: 1, at: 0x10, magic: 'DPTM' },
  { type: 'Promise RAID', fromEnd: 63, at: 0, magic: 'Promise Technology, Inc.' },
];

export async function firmwareRaidSignature(window: Window): Promise<Signature | undefined> {
  const sectors = Math.floor(window.size / 512);
  for (const { type, fromEnd, at, magic } of FIRMWARE) {
    const bytes = await window.bytes((sectors - fromEnd) * 512, 512);
    if (bytes !== undefined && hasMagic(bytes, at, magic)) return raid(type, {});
  }
  for (const [sector, magic] of [
    [9, '\xf0\x16\x78\x5a'],
    [9, '\xfd\x16\x78\x5a'],
  ] as const) {
    const bytes = await window.bytes(sector * 512, 512);
    if (bytes !== undefined && hasMagic(bytes, 0x20, magic)) return raid('HighPoint RAID', {});
  }
  return undefined;
}

/** DRBD's `meta_data_on_disk`: 4 KiB before the end, magic 60; device UUID 40, in version 9 48. */
const DRBD_BYTES = 4096;
const DRBD_MAGICS = { 0x8374026b: 40, 0x8374026d: 48 } as const;

export async function drbdSignature(window: Window): Promise<Signature | undefined> {
  const view = await window.view(window.size - DRBD_BYTES, 64);
  if (view === undefined) return undefined;
  const magic = layout.u32be(60)(view);
  if (magic !== 0x8374026b && magic !== 0x8374026d) return undefined;
  const uuid = layout.bits64be(DRBD_MAGICS[magic])(view).toString(16).padStart(16, '0');
  return { kind: 'pool member', type: 'DRBD', label: '', uuid };
}

const BCACHE_MAGIC = '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81';
const BCACHEFS_MAGIC = '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef';
const BCACHE_AT = 4096;
const BCACHE_SECTOR = 8n;

/**
 * linux/drivers/md/bcache and bcachefs, `bch_sb`: one superblock at 4 KiB with its magic at 24. Bcache
 * says at 8 in which sector it lies; bcachefs, which long used the same magic, has a checksum there.
 */
export async function bcacheSignature({ head }: Window): Promise<Signature | undefined> {
  const sb = head.subarray(BCACHE_AT, BCACHE_AT + 512);
  const isOld = hasMagic(sb, 24, BCACHE_MAGIC);
  if (sb.byteLength < 512 || (!isOld && !hasMagic(sb, 24, BCACHEFS_MAGIC))) return undefined;
  const label = labelAt(sb, 72, 32);
  if (isOld && layout.bits64le(8)(layout.viewOf(sb)) === BCACHE_SECTOR) {
    return { kind: 'pool member', type: 'bcache', label, uuid: uuidAt(sb, 40) };
  }
  return { kind: 'file system', type: 'bcachefs', label, uuid: uuidAt(sb, 56) };
}

const MIB = 1024 * 1024;

/** VMFS: the volume (LVM) header at 1 MiB, the file system's at 2 MiB. */
export async function vmfsSignature(window: Window): Promise<Signature | undefined> {
  const volume = await window.bytes(MIB, 1024);
  if (volume !== undefined && hasMagic(volume, 0, '\x0d\xd0\x01\xc0')) {
    const uuid = vmfsUuid(volume.subarray(512 + 84, 512 + 100));
    return { kind: 'pool member', type: 'VMFS volume', label: '', uuid };
  }
  const bytes = await window.bytes(2 * MIB, 512);
  if (bytes === undefined || !hasMagic(bytes, 0, '\x5e\xf1\xab\x2f')) return undefined;
  return {
    ...{ kind: 'file system', type: 'VMFS', label: labelAt(bytes, 29, 128) },
    uuid: vmfsUuid(bytes.subarray(9, 25)),
  };
}

/** Three numbers, little-endian, and six bytes. */
function vmfsUuid(bytes: Uint8Array): string {
  const view = layout.viewOf(bytes);
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const numbers = [hex(layout.u32le(0)(view), 8), hex(layout.u32le(4)(view), 8)];
  const tail = Buffer.from(bytes.subarray(10, 16)).toString('hex');
  return [...numbers, hex(layout.u16le(8)(view), 4), tail].join('-');
}

function raid(type: string, named: Partial<Signature>): Signature {
  return { kind: 'raid member', type, label: '', uuid: '', ...named };
}

/** What names itself by an identifier that a second copy would repeat. Bytes only, and few. */
import { type BlockSource, layout, readBytes } from '../../core/index.ts';
import { formatUuid } from '../partition/guid.ts';

/** An identifier found in a partition. */
export interface FoundIdentifier {
  readonly kind: string;
  readonly name: string;
  readonly value: string;
}

/** Btrfs has its first superblock the farthest in. */
const HEAD_BYTES = 68 * 1024;
const METADATA_BYTES_MAX = 4096;

type Probe = (head: Uint8Array, view: DataView) => FoundIdentifier | undefined;

const uuid = (kind: string, at: number): ((head: Uint8Array) => FoundIdentifier) => {
  return (head) => ({ kind, name: 'UUID', value: formatUuid(head.subarray(at, at + 16)) });
};

/** When `magic` stands at `at`, what `then` reads. A head that is too short holds nothing. */
function whenMagic(at: number, magic: string, needs: number, then: Probe): Probe {
  const wanted = Buffer.from(magic, 'latin1');
  return (head, view) => {
    if (head.byteLength < Math.max(needs, at + wanted.length)) return undefined;
    const isThere = Buffer.compare(head.subarray(at, at + wanted.length), wanted) === 0;
    return isThere ? then(head, view) : undefined;
  };
}

const serial = (kind: string, at: number): Probe => {
  return (_, view) => {
    const hex = layout.u32le(at)(view).toString(16).toUpperCase().padStart(8, '0');
    return { kind, name: 'serial number', value: `${hex.slice(0, 4)}-${hex.slice(4)}` };
  };
};

/** Sources: each kind's on-disk format; the identifiers are those that `blkid` prints. */
const PROBES: readonly Probe[] = [
  // ext4 disk layout, "super block": at 1024; s_magic 0x38, s_uuid 0x68
  whenMagic(1024 + 0x38, '\x53\xef', 2048, uuid('ext2/3/4', 1024 + 0x68)),
  // XFS algorithms and data structures, "superblocks": sb_uuid 32
  whenMagic(0, 'XFSB', 512, uuid('XFS', 32)),
  // NTFS boot sector: OEM id 3, volume serial number 0x48
  whenMagic(3, 'NTFS    ', 512, (_, view) => ({
    kind: 'NTFS',
    name: 'serial number',
    value: layout.bits64le(0x48)(view).toString(16).toUpperCase().padStart(16, '0'),
  })),
  // exFAT specification 3.1: FileSystemName 3, VolumeSerialNumber 100
  whenMagic(3, 'EXFAT   ', 512, serial('exFAT', 100)),
  // FAT specification 3.2 and 3.3: BS_FilSysType 82 with BS_VolID 67, or 54 with 39
  whenMagic(82, 'FAT32   ', 512, serial('FAT', 67)),
  whenMagic(54, 'FAT1', 512, serial('FAT', 39)),
  // mkswap(8): the signature ends the first page, the UUID follows three words at 1024
  whenMagic(4096 - 10, 'SWAPSPACE2', 4096, uuid('swap', 1024 + 12)),
  // btrfs on-disk format: superblock at 64 KiB; magic 0x40, fsid 0x20
  whenMagic(65_536 + 0x40, '_BHRfS_M', 66_000, uuid('btrfs', 65_536 + 0x20)),
  // LUKS 1 and 2: magic, UUID as text at 168
  whenMagic(0, 'LUKS\xba\xbe', 512, (_, view) => ({
    kind: 'LUKS',
    name: 'UUID',
    value: layout.text(168, 40, 'latin1')(view),
  })),
  // md superblock 1.2: at 4096; magic 0xa92b4efc, set_uuid 16
  whenMagic(4096, '\xfc\x4e\x2b\xa9', 4352, uuid('md RAID', 4096 + 16)),
];

/** Identifiers of what begins at `offset`: one for most kinds, two for LVM. */
export async function findIdentifiers(
  disk: BlockSource,
  offset: number,
  length: number,
): Promise<FoundIdentifier[]> {
  const head = await readBytes(disk, offset, Math.min(HEAD_BYTES, length, disk.size - offset));
  const view = layout.viewOf(head);
  const found: FoundIdentifier[] = [];
  for (const probe of PROBES) {
    const identifier = probe(head, view);
    if (identifier !== undefined) found.push(identifier);
  }
  return [...found, ...(await findLvm(disk, offset, length, head))];
}

const SECTOR = 512;
const LVM_ID_BYTES = 32;
const AREAS_MAX = 32;

const Label = { magic: layout.text(0, 8, 'latin1'), contentAt: layout.u32le(20) } as const;
const Metadata = { magic: layout.text(4, 16, 'latin1'), textAt: layout.u64le(40) } as const;
const METADATA_MAGIC = ' LVM2 x[5A%r0N*>';

/** lib/format_text/layout.h of LVM2: a label in one of four sectors, then the physical volume. */
async function findLvm(
  disk: BlockSource,
  offset: number,
  length: number,
  head: Uint8Array,
): Promise<FoundIdentifier[]> {
  const view = layout.viewOf(head);
  for (let at = 0; at + SECTOR <= Math.min(head.byteLength, 4 * SECTOR); at += SECTOR) {
    if (Label.magic(view, at) !== 'LABELONE') continue;
    const volumeAt = at + Label.contentAt(view, at);
    if (volumeAt + LVM_ID_BYTES > head.byteLength) return [];
    const id = layout.text(0, LVM_ID_BYTES, 'latin1')(view, volumeAt);
    const found = [{ kind: 'LVM', name: 'physical volume UUID', value: dashed(id) }];
    const metadataAt = metadataAreaAt(view, volumeAt);
    if (metadataAt === undefined || metadataAt + SECTOR > length) return found;
    const group = await volumeGroupAt(disk, offset + metadataAt);
    return group === undefined ? found : [...found, group];
  }
  return [];
}

/** Two lists of areas follow the volume's id and size, each ended by an empty one: data, metadata. */
function metadataAreaAt(view: DataView, volumeAt: number): number | undefined {
  let lists = 0;
  for (let area = 0; area < AREAS_MAX; area += 1) {
    const at = volumeAt + LVM_ID_BYTES + 8 + area * 16;
    if (at + 16 > view.byteLength) return undefined;
    const areaOffset = view.getBigUint64(at, true);
    if (areaOffset === 0n) lists += 1;
    else if (lists === 1) return areaOffset < 2n ** 48n ? Number(areaOffset) : undefined;
    if (lists === 2) return undefined;
  }
  return undefined;
}

/** The group's name and id open the text: `name {`, `id = "…"`. */
async function volumeGroupAt(
  disk: BlockSource,
  metadataAt: number,
): Promise<FoundIdentifier | undefined> {
  const header = layout.viewOf(await readBytes(disk, metadataAt, SECTOR));
  // Not by layout.text alone: the magic begins with a blank.
  if (Metadata.magic(header) !== METADATA_MAGIC) return undefined;
  const textAt = metadataAt + Metadata.textAt(header);
  if (textAt === metadataAt || textAt >= disk.size) return undefined;
  const bytes = await readBytes(disk, textAt, Math.min(METADATA_BYTES_MAX, disk.size - textAt));
  const text = Buffer.from(bytes).toString('latin1');
  const match = /^([\w+.-]{1,128}) \{\s*id = "([\w-]{32,40})"/m.exec(text);
  const [, name, value] = match ?? [];
  if (name === undefined || value === undefined) return undefined;
  return { kind: 'LVM', name: `UUID of volume group ${name}`, value };
}

/** 6-4-4-4-4-4-6, as LVM prints its ids. */
function dashed(id: string): string {
  return id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');
}

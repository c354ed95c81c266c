import { randomBytes } from 'node:crypto';
import { type BlockDevice, isRestoreError, layout } from '../../core/index.ts';
import { DISK_GUID_AT, GUID_BYTES, seal, UNIQUE_GUID_AT } from '../partition/gpt.ts';
import { formatGuid } from '../partition/guid.ts';
import { type Mbr, readMbr, SIGNATURE_AT } from '../partition/mbr.ts';
import type { PartitionRange } from '../partition/partition.ts';
import { type GptPair, readGptPair } from './gpt-pair.ts';
import { type FoundIdentifier, findIdentifiers } from './identifiers.ts';

/** One identifier that was replaced. */
export interface ChangedIdentifier {
  readonly what: string;
  /** Number of the partition; none for what belongs to the disk. */
  readonly partition?: number;
  readonly before: string;
  readonly after: string;
}

/** One identifier that is still that of the original. */
export interface Clash extends FoundIdentifier {
  readonly partition?: number;
  /** Byte offset of the partition on the disk. */
  readonly offset: number;
  /** What to do where both must be present at once. */
  readonly advice: string;
}

export interface IdentityReport {
  readonly scheme: 'gpt' | 'mbr' | 'none';
  readonly changed: readonly ChangedIdentifier[];
  readonly clashes: readonly Clash[];
  readonly notes: readonly string[];
}

interface Change {
  readonly changed: ChangedIdentifier[];
  /** In the order in which they must be written. */
  readonly writes: { readonly offset: number; readonly bytes: Uint8Array }[];
}

const PARTITIONS_PROBED_MAX = 128;

const ADVICE: Readonly<Record<string, string>> = {
  'ext2/3/4': 'Mount by device path, or give it a new UUID: tune2fs -U random DEVICE.',
  XFS: 'Mount with -o nouuid, or give it a new UUID: xfs_admin -U generate DEVICE.',
  NTFS: 'Windows tells copies apart by disk and partition; no change is needed to attach it.',
  exFAT: 'Mount by device path.',
  FAT: 'Mount by device path.',
  swap: 'Do not enable it by UUID: mkswap gives it a new one.',
  btrfs: 'Never mount beside the original: first btrfstune -u DEVICE.',
  LUKS: 'Open by device path, or cryptsetup luksUUID --uuid NEW DEVICE.',
  'md RAID': 'Assemble by device path: mdadm --assemble --update=uuid.',
  LVM: 'Import under a new name and UUIDs: vgimportclone --basevgname NAME DEVICE.',
};

/**
 * Gives a disk's partition table an identity of its own, so that a system which has the original
 * attached accepts the copy: new disk and partition GUIDs in both GPT copies, or a new MBR signature.
 * Everything is read and checked before the first byte is written; what a crash cuts short is seen by
 * the next call as a damaged table.
 *
 * @param device a private copy; durable when this resolves.
 * @throws RestoreError `CORRUPT`, `UNSUPPORTED`, with nothing changed.
 */
export async function newIdentity(device: BlockDevice): Promise<IdentityReport> {
  const mbr = await readMbr(device);
  const gpt = mbr?.isProtective === true ? await readGptPair(device) : undefined;
  const partitions = gpt?.partitions ?? mbr?.partitions ?? [];
  const clashes = await clashesOf(device, partitions);
  const { changed, writes } = changesOf(mbr, gpt);
  for (const { offset, bytes } of writes) await device.writeFrom(bytes, offset);
  await device.flush();
  const scheme = gpt === undefined ? ((mbr?.partitions.length ?? 0) > 0 ? 'mbr' : 'none') : 'gpt';
  return { scheme, changed, clashes, notes: notesOn(changed, clashes) };
}

function changesOf(mbr: Mbr | undefined, gpt: GptPair | undefined): Change {
  const change: Change = { changed: [], writes: [] };
  if (gpt !== undefined) renewGpt(gpt, change);
  const isPlain = mbr !== undefined && gpt === undefined && mbr.partitions.length > 0;
  const isMarked = gpt !== undefined && mbr !== undefined && mbr.signature !== 0;
  if (mbr !== undefined && (isPlain || isMarked)) renewSignature(mbr, change);
  return change;
}

function renewGpt({ primary, backup, diskGuid, partitions }: GptPair, change: Change): void {
  const newGuid = randomGuid();
  change.changed.push({
    what: 'GPT disk GUID',
    before: formatGuid(diskGuid),
    after: formatGuid(newGuid),
  });
  for (const copy of [primary, backup]) copy.header.set(newGuid, DISK_GUID_AT);
  for (const { number, entryAt } of partitions) {
    const place = entryAt + UNIQUE_GUID_AT;
    const before = formatGuid(primary.array.subarray(place, place + GUID_BYTES));
    const guid = randomGuid();
    for (const copy of [primary, backup]) copy.array.set(guid, place);
    const after = formatGuid(guid);
    change.changed.push({ what: 'GPT partition GUID', partition: number, before, after });
  }
  for (const copy of [backup, primary]) {
    seal(copy);
    change.writes.push({ offset: copy.arrayOffset, bytes: copy.array });
    change.writes.push({ offset: copy.headerOffset, bytes: copy.header });
  }
}

function renewSignature({ sector, signature }: Mbr, change: Change): void {
  let after = signature;
  while (after === signature || after === 0) after = randomBytes(4).readUInt32LE();
  layout.viewOf(sector).setUint32(SIGNATURE_AT, after, true);
  change.changed.push({ what: 'MBR disk signature', before: hex(signature), after: hex(after) });
  change.writes.push({ offset: 0, bytes: sector });
}

async function clashesOf(
  device: BlockDevice,
  partitions: readonly PartitionRange[],
): Promise<Clash[]> {
  const places =
    partitions.length === 0
      ? [{ offset: 0, length: device.size }]
      : partitions.slice(0, PARTITIONS_PROBED_MAX).filter(({ isInside }) => isInside);
  const clashes: Clash[] = [];
  for (const place of places) {
    const partition = 'number' in place ? { partition: place.number } : {};
    for (const found of await identifiersAt(device, place)) {
      const advice = ADVICE[found.kind] ?? 'Mount by device path.';
      clashes.push({ ...found, ...partition, offset: place.offset, advice });
    }
  }
  return clashes;
}

/** What lies in a partition cannot keep its table from a new identity. */
async function identifiersAt(
  device: BlockDevice,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<FoundIdentifier[]> {
  try {
    return await findIdentifiers(device, offset, length);
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return [{ kind: 'unknown', name: 'unreadable', value: error.message }];
  }
}

function notesOn(changed: readonly ChangedIdentifier[], clashes: readonly Clash[]): string[] {
  const notes: string[] = [];
  if (changed.length > 0) {
    notes.push(
      'Boot loaders and fstab lines that name the old GUIDs or signature (PARTUUID, Windows BCD) no longer find this copy.',
    );
  }
  if (clashes.some(({ kind }) => kind === 'LVM')) {
    notes.push('File systems inside its logical volumes keep their identifiers too.');
  }
  return notes;
}

/** A random GUID (RFC 9562 version 4) in the byte order of disks: the first three fields little-endian. */
function randomGuid(): Uint8Array {
  const bytes = randomBytes(GUID_BYTES);
  bytes[7] = ((bytes[7] as number) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  return bytes;
}

function hex(signature: number): string {
  return signature.toString(16).padStart(8, '0');
}

import { type BlockSource, type Finding, isAllZero, readBytes } from '../../core/index.ts';
import { identifyFileSystem } from '../filesystem/open.ts';
import { readPartitionTable } from '../partition/table.ts';
import { isLocal } from './lvm/copies.ts';
import type { ContentKind, VolumeContent } from './model.ts';
import { findSignatures } from './signatures/find-signatures.ts';
import type { Signature } from './signatures/signature.ts';

export interface FoundContent {
  readonly content: VolumeContent;
  readonly findings: readonly Finding[];
}

export interface ContentHints {
  /** The partition's type, as the table has it. */
  readonly partitionType?: string;
  /** False for a whole disk, whose own table has been looked at already. */
  readonly mayHoldTable: boolean;
}

/** Kinds that own the volume, whatever else it looks like. */
const OWNERS: ReadonlySet<ContentKind> = new Set([
  'physical volume',
  'raid member',
  'encrypted',
  'pool member',
  'reserved',
]);

/** Partition types that say more than the content: what they hold is part of something larger. */
const TYPES_OWNED: Readonly<Record<string, string>> = {
  '0x42': 'Windows dynamic disk (LDM)',
  'af9b60a0-1431-4f62-bc68-3311714a69ad': 'Windows dynamic disk (LDM)',
  'e75caf8f-f680-4cee-afa3-b001e56efc2d': 'Storage Spaces',
};

/** Partition types that are set aside for something without a mark of its own. */
const TYPES_RESERVED: Readonly<Record<string, string>> = {
  '5808c8aa-7e8f-42e0-85d2-e1e90434cfb3': 'LDM metadata',
  'e3c9e316-0b5c-4db8-817d-f92df00215ae': 'Microsoft reserved',
  '21686148-6449-6e6f-744e-656564454649': 'BIOS boot',
  '9e1a2d38-c612-4316-aa26-8b49521e5a8b': 'PowerPC PReP boot',
  '0x41': 'PowerPC PReP boot',
};

/** Formats that share a volume by design. */
const BRIDGES: ReadonlySet<string> = new Set(['ISO 9660', 'UDF', 'HFS+']);
const EMPTY_BYTES = 68 * 1024;

/**
 * What a volume holds, from its first sectors, and a few elsewhere. Marks of something larger (RAID,
 * LVM, encryption) come before the file system that may shine through.
 *
 * @throws RestoreError `IO`, `CANCELLED`; damage is a finding.
 */
export async function contentOf(volume: BlockSource, hints: ContentHints): Promise<FoundContent> {
  const findings: Finding[] = [];
  const signatures = await guarded(findings, [], () => findSignatures(volume));
  const driven = await guarded(findings, undefined, () => identifyFileSystem(volume));
  const readable: VolumeContent[] =
    driven === undefined ? [] : [{ kind: 'file system', ...driven, isReadable: true }];
  const marked = signatures.map((signature) => ({ ...signature, isReadable: false }));
  const others = marked.filter(({ kind }) => !OWNERS.has(kind));
  // A driver may go by what an earlier file system left behind: what bears a mark of its own now counts more.
  const isLeftOver =
    others.length > 0 && !readable.some((each) => others.some((o) => isSame(each, o)));
  const owned = TYPES_OWNED[hints.partitionType ?? ''];
  const candidates: VolumeContent[] = [
    ...(owned === undefined ? [] : [named('pool member', owned)]),
    ...marked.filter(({ kind }) => OWNERS.has(kind)),
    ...(isLeftOver ? [...others, ...readable] : [...readable, ...others]),
  ];
  const [content, ...rest] = candidates;
  if (content === undefined)
    return { content: await withoutMark(volume, hints, findings), findings };
  const also = rest.filter((other) => !isSame(content, other)).map(({ type }) => type);
  if (also.length > 0) {
    const list = [...new Set(also)].join(', ');
    findings.push({ message: `taken as ${content.type}; it bears marks of ${list} too` });
  }
  return { content, findings };
}

/** For the rest of very many volumes. */
export function notLookedAt(): FoundContent {
  return {
    content: named('unknown', ''),
    findings: [{ message: 'not looked at: there are too many volumes beside it' }],
  };
}

function isSame(content: VolumeContent, other: Signature): boolean {
  if (content.type === other.type) return true;
  if (content.kind === 'file system' && content.uuid !== '' && content.uuid === other.uuid)
    return true;
  return BRIDGES.has(content.type) && BRIDGES.has(other.type);
}

async function withoutMark(
  volume: BlockSource,
  { partitionType = '', mayHoldTable }: ContentHints,
  findings: Finding[],
): Promise<VolumeContent> {
  const reserved = TYPES_RESERVED[partitionType];
  if (reserved !== undefined) return named('reserved', reserved);
  if (findings.length > 0) return named('unreadable', '');
  const head = await readBytes(volume, 0, Math.min(EMPTY_BYTES, volume.size));
  if (isAllZero(head)) return named('empty', '');
  const table = mayHoldTable ? await readPartitionTable(volume) : undefined;
  if (table !== undefined && table.partitions.length > 0) {
    return named('partition table', table.kind === 'gpt' ? 'GPT' : 'MBR');
  }
  return named('unknown', '');
}

function named(kind: ContentKind, type: string): VolumeContent {
  return { kind, type, label: '', uuid: '', isReadable: false };
}

/** Damage in a volume is told with it and leaves the others listed. */
async function guarded<T>(findings: Finding[], otherwise: T, probe: () => Promise<T>): Promise<T> {
  try {
    return await probe();
  } catch (error) {
    if (!isLocal(error)) throw error;
    findings.push({ message: error.message, where: error.where });
    return otherwise;
  }
}

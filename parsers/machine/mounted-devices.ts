import { layout } from '../../core/index.ts';
import { formatGuid } from '../partition/guid.ts';
import type { MachineVolumes, Volume } from '../volume/model.ts';
import type { HiveValue } from './hive.ts';

/** Where a drive letter points, as `HKLM\SYSTEM\MountedDevices` has it. */
export type LetterTarget =
  | { readonly kind: 'mbr'; readonly signature: string; readonly offset: number }
  | { readonly kind: 'gpt'; readonly guid: string }
  | { readonly kind: 'device'; readonly path: string };

export interface DriveLetter {
  /** `C:` */
  readonly at: string;
  readonly target: LetterTarget;
}

const LETTER = /^\\DosDevices\\([A-Z]:)$/i;
const GPT_MARK = 'DMIO:ID:';
const GPT_BYTES = 24;
const MBR_BYTES = 12;

/** The drive letters among the values of the key; the first value of a letter counts. */
export function driveLetters(values: readonly HiveValue[]): DriveLetter[] {
  const letters = new Map<string, DriveLetter>();
  for (const { name, data } of values) {
    const at = LETTER.exec(name)?.[1]?.toUpperCase();
    if (at === undefined || letters.has(at)) continue;
    letters.set(at, { at, target: targetOf(data) });
  }
  return [...letters.values()];
}

/** The volumes at which a letter points; none for what is on no disk, and for CDs and the like. */
export function volumesAt(target: LetterTarget, { disks }: MachineVolumes): readonly Volume[] {
  if (target.kind === 'device') return [];
  if (target.kind === 'gpt') {
    return disks.flatMap(({ volumes }) =>
      volumes.filter(({ kind, uuid }) => kind === 'partition' && uuid === target.guid),
    );
  }
  return disks
    .filter(({ table, tableId }) => table === 'mbr' && tableId === target.signature)
    .flatMap(({ volumes }) => volumes.filter(({ offset }) => offset === target.offset));
}

/**
 * A boot record's signature and the partition's offset in bytes; or a mark and the partition's GUID; or a
 * device's path in UTF-16.
 */
function targetOf(data: Uint8Array): LetterTarget {
  const view = layout.viewOf(data);
  const isGpt = data.byteLength === GPT_BYTES && layout.text(0, 8, 'latin1')(view) === GPT_MARK;
  if (isGpt) return { kind: 'gpt', guid: formatGuid(data.subarray(8)) };
  const offset = data.byteLength === MBR_BYTES ? layout.bits64le(4)(view) : undefined;
  if (offset !== undefined && offset <= BigInt(Number.MAX_SAFE_INTEGER)) {
    const signature = layout.u32le(0)(view).toString(16).padStart(8, '0');
    return { kind: 'mbr', signature, offset: Number(offset) };
  }
  return { kind: 'device', path: Buffer.from(data).toString('utf16le').slice(0, 260) };
}

import { type BlockDevice, type BlockSource, RestoreError } from '../core/index.ts';
import type { ChapRequirement } from './login/chap.ts';
import { ALL_CHAP_ALGORITHMS, type ChapAlgorithm } from './login/chap-algorithms.ts';
import { type AllowList, Admission } from './login/admission.ts';
import { type DeviceIdentity, LogicalUnit, type SpaceUsage } from './scsi/logical-unit.ts';

/** How an initiator proves who it is, and the target too when `mutual` is given. */
export interface TargetChap {
  readonly user: string;
  /** 12 to 16 characters work with every initiator (Windows' limits). */
  readonly secret: string;
  /** Acceptable algorithms, best first; all by default. */
  readonly algorithms?: readonly ChapAlgorithm[];
  /** Must have another secret than the initiator's. */
  readonly mutual?: { readonly user: string; readonly secret: string };
}

interface ExportOptions {
  /** The target's name, e.g. `iqn.2026-01.example:web01-disk0`. */
  readonly iqn: string;
  readonly identity: DeviceIdentity;
  readonly chap?: TargetChap;
  /** Must be said, for an export without `chap`. */
  readonly noAuthentication?: true;
  /** Who may log in at all, credentials apart; anyone when absent. */
  readonly allow?: AllowList;
  readonly alias?: string;
  /**
   * The size of physical blocks that initiators are told; by default that of logical ones, as the
   * virtual disks of most machines have it. Software installed there may refuse any other.
   */
  readonly physicalBlockBytes?: 512 | 4096;
  /** The size of the pieces that `source.peek` can give whole; 64 KiB by default. */
  readonly peekBytes?: number;
}

export interface ReadOnlyExport extends ExportOptions {
  readonly readOnly: true;
  /** What is read. The caller keeps it: closing it is the caller's affair, after removal. */
  readonly source: BlockSource;
}

export interface WritableExport extends ExportOptions {
  readonly readOnly: false;
  /** What is read and written. The caller keeps it, as above. */
  readonly device: BlockDevice;
  /** How much of the device's space is used and left, for LOG SENSE; asked for often. */
  readonly space?: () => SpaceUsage;
}

/** One disk to open as LUN 0 of a target of its own. */
export type TargetExport = ReadOnlyExport | WritableExport;

/** An export as the target holds it. */
export interface LiveExport {
  readonly options: TargetExport;
  readonly chap: ChapRequirement | undefined;
  readonly admission: Admission;
  readonly unit: LogicalUnit;
  /** Being taken away: no new logins. */
  closing: boolean;
  bytesRead: number;
  bytesWritten: number;
  commands: number;
}

const IQN_PATTERN =
  /^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[a-z0-9.:-]+)?|eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16}([0-9a-f]{16})?)$/;
const MAX_NAME_BYTES = 223;

/** @throws RestoreError `INVALID` when the export makes no sense or would be open to anyone. */
export function makeExport(options: TargetExport): LiveExport {
  const { iqn, chap } = options;
  const source = options.readOnly ? options.source : options.device;
  if (!IQN_PATTERN.test(iqn) || Buffer.byteLength(iqn) > MAX_NAME_BYTES) {
    throw invalid('the target name is malformed', iqn, 'iqn.YYYY-MM.reversed.domain:name');
  }
  if (chap === undefined && options.noAuthentication !== true) {
    throw invalid('an export needs credentials', iqn, 'chap, or noAuthentication: true');
  }
  if (chap !== undefined && options.noAuthentication === true) {
    throw invalid('an export cannot have credentials and be without', iqn, 'one of the two');
  }
  if (source.size === 0 || source.size % source.sectorSize !== 0) {
    throw invalid(
      'the disk is not a whole number of sectors',
      `${source.size} bytes`,
      `a multiple of ${source.sectorSize}`,
    );
  }
  return {
    options,
    chap: chap === undefined ? undefined : requirementOf(chap, iqn),
    admission: new Admission(options.allow ?? {}),
    unit: unitOf(options, source),
    closing: false,
    bytesRead: 0,
    bytesWritten: 0,
    commands: 0,
  };
}

function unitOf(options: TargetExport, source: BlockSource): LogicalUnit {
  const { identity, iqn, peekBytes, physicalBlockBytes } = options;
  const writable = options.readOnly ? undefined : options;
  return new LogicalUnit(source, identity, iqn, peekBytes, writable, physicalBlockBytes);
}

function requirementOf(chap: TargetChap, iqn: string): ChapRequirement {
  const algorithms = chap.algorithms ?? ALL_CHAP_ALGORITHMS;
  if (chap.user === '' || chap.secret === '' || algorithms.length === 0) {
    throw invalid('CHAP credentials are empty', iqn, 'a user, a secret and an algorithm');
  }
  if (chap.mutual === undefined) return { user: chap.user, secret: chap.secret, algorithms };
  if (chap.mutual.secret === chap.secret || chap.mutual.secret === '') {
    // RFC 7143 section 12.1.3: else each side could be made to answer for the other.
    throw invalid('both CHAP directions have one secret', iqn, 'two different secrets');
  }
  return { user: chap.user, secret: chap.secret, algorithms, mutual: chap.mutual };
}

function invalid(message: string, found: string, expected: string): RestoreError {
  return new RestoreError('INVALID', message, {
    where: { structure: 'iSCSI export', expected, found },
    hint: `Give ${expected}.`,
  });
}

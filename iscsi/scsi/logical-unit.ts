import { createHash } from 'node:crypto';
import { type BlockDevice, type BlockSource, isSparse, RestoreError } from '../../core/index.ts';
import { Medium } from './medium.ts';
import { defaultModes, type ModeSettings } from './mode-pages.ts';
import type { Nexus } from './nexus.ts';
import { PersistentReservations } from './persistent-reservations.ts';
import { SENSE, type Sense } from './sense.ts';

/** How much a thin disk may still grow, in bytes; LOG SENSE page 0C. */
export interface SpaceUsage {
  readonly usedBytes: number;
  readonly availableBytes: number;
}

/** What makes a unit writable. */
export interface WritableOptions {
  readonly device: BlockDevice;
  readonly space?: () => SpaceUsage;
}

/**
 * Who a disk says it is. Multipath software merges disks with equal identities, so two restore
 * points must never share one, and one export must keep its own over restarts.
 */
export interface DeviceIdentity {
  /** Printable ASCII, at most 64 characters; VPD page 80. */
  readonly serial: string;
  /** NAA designator, 8 or 16 bytes, or the same in hexadecimal; VPD page 83. */
  readonly naa: Uint8Array | string;
  /** At most 8 characters. Keep these three constant over releases. */
  readonly vendor?: string;
  /** At most 16 characters. */
  readonly product?: string;
  /** At most 4 characters. */
  readonly revision?: string;
}

const DEFAULT_PEEK_BYTES = 64 * 1024;
const LOCAL_COMPANY_ID = '025248';
/** NAA formats and their lengths in bytes. SPC-4 section 7.8.6.6. */
const NAA_BYTES: Readonly<Record<number, number>> = { 2: 8, 3: 8, 5: 8, 6: 16 };

/**
 * The identity for `seed` (export, disk, restore point, overlay …): equal seeds, equal disks.
 *
 * NAA 6 is what multipath, udev, Windows and ESXi prefer. Its company id has the bit of locally
 * administered addresses set, so it is nobody's; 100 bits of hash follow.
 */
export function identityOf(seed: string): DeviceIdentity {
  const digest = createHash('sha256').update('rehydrate-lun\0').update(seed).digest('hex');
  return { serial: digest.slice(0, 32), naa: `6${LOCAL_COMPANY_ID}${digest.slice(32, 57)}` };
}

/** A disk as SCSI sees it: shared by all sessions of its target. */
export class LogicalUnit {
  readonly source: BlockSource;
  readonly targetName: string;
  readonly serial: string;
  readonly naa: Uint8Array;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  readonly blockBytes: number;
  readonly blockCount: number;
  /** What initiators are told that the medium is made of; their own blocks may be smaller. */
  readonly physicalBlockBytes: number;
  readonly peekBytes: number;
  /** What changes the disk; absent when it is read-only. */
  readonly medium: Medium | undefined;
  readonly space: (() => SpaceUsage) | undefined;
  /** Holes are known or can be made: provisioning is thin, GET LBA STATUS tells. */
  readonly thin: boolean;
  readonly modes: ModeSettings;
  /** Who holds RESERVE(6). */
  reservedBy: Nexus | undefined;
  readonly persistent: PersistentReservations = new PersistentReservations();
  readonly #nexuses = new Set<Nexus>();

  constructor(
    source: BlockSource,
    identity: DeviceIdentity,
    targetName: string,
    peekBytes: number = DEFAULT_PEEK_BYTES,
    writable?: WritableOptions,
    physicalBlockBytes: number = source.sectorSize,
  ) {
    this.physicalBlockBytes = physicalBlockBytes;
    this.source = source;
    this.targetName = targetName;
    this.serial = checkedText('serial', identity.serial, 64);
    this.naa = checkedNaa(identity.naa);
    this.vendor = checkedText('vendor', identity.vendor ?? 'REHYDR8', 8);
    this.product = checkedText('product', identity.product ?? 'RESTORE POINT', 16);
    this.revision = checkedText('revision', identity.revision ?? '0001', 4);
    this.blockBytes = source.sectorSize;
    this.blockCount = source.size / source.sectorSize;
    this.peekBytes = peekBytes;
    this.medium = writable === undefined ? undefined : new Medium(writable.device);
    this.space = writable?.space;
    this.modes = defaultModes(this);
    this.thin = writable !== undefined || isSparse(source);
  }

  get readOnly(): boolean {
    return this.medium === undefined;
  }

  get nexuses(): Iterable<Nexus> {
    return this.#nexuses;
  }

  attach(nexus: Nexus): void {
    this.#nexuses.add(nexus);
    nexus.raise(SENSE.powerOnOrReset);
  }

  detach(nexus: Nexus): void {
    this.#nexuses.delete(nexus);
    if (this.reservedBy === nexus) this.reservedBy = undefined;
  }

  /** Tells all but one of something that happened. */
  raiseForOthers(sense: Sense, except: Nexus): void {
    for (const nexus of this.#nexuses) if (nexus !== except) nexus.raise(sense);
  }

  /**
   * Logical unit reset, without the tasks, which are the sessions'. Persistent reservations stay.
   * SAM-5 section 6.3.3.
   */
  reset(): void {
    this.reservedBy = undefined;
    Object.assign(this.modes, defaultModes(this));
    for (const nexus of this.#nexuses) nexus.raise(SENSE.deviceReset);
  }
}

function checkedText(name: string, value: string, maxLength: number): string {
  if (/^[ -~]+$/.test(value) && value.length <= maxLength) return value;
  throw badIdentity(name, `1 to ${maxLength} printable ASCII characters`, JSON.stringify(value));
}

function checkedNaa(naa: Uint8Array | string): Uint8Array {
  const bytes = typeof naa === 'string' ? Uint8Array.from(Buffer.from(naa, 'hex')) : naa;
  if (bytes.length > 0 && NAA_BYTES[(bytes[0] as number) >> 4] === bytes.length) return bytes;
  throw badIdentity('naa', '8 bytes (NAA 2, 3 or 5) or 16 bytes (NAA 6)', `${bytes.length} bytes`);
}

function badIdentity(field: string, expected: string, found: string): RestoreError {
  return new RestoreError('INVALID', `the identity's ${field} is malformed`, {
    where: { structure: 'device identity', expected, found },
    hint: 'Derive it with identityOf().',
  });
}

import { createHash } from 'node:crypto';
import { type BlockSource, isSparse, RestoreError } from '../../core/index.ts';
import type { Nexus } from './nexus.ts';
import { SENSE } from './sense.ts';

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
  readonly peekBytes: number;
  readonly readOnly = true;
  /** Holes are known: provisioning is thin, GET LBA STATUS tells. */
  readonly sparse: boolean;
  /** Who holds RESERVE(6). */
  reservedBy: Nexus | undefined;
  readonly #nexuses = new Set<Nexus>();

  constructor(
    source: BlockSource,
    identity: DeviceIdentity,
    targetName: string,
    peekBytes = DEFAULT_PEEK_BYTES,
  ) {
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
    this.sparse = isSparse(source);
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

  /** Logical unit reset, without the tasks, which are the sessions'. SAM-5 section 6.3.3. */
  reset(): void {
    this.reservedBy = undefined;
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

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { RestoreError } from '../core/index.ts';
import type { IdentityReport } from '../parsers/index.ts';
import { checkChap, generateSecret } from './chap.ts';
import type { SavedExport } from './state.ts';

/** Our names under RFC 7143 section 4.2.7.3: the date at which the project had its name. */
const IQN_PREFIX = 'iqn.2026-11.org.rehydrate';
const CHAP_USER = 'rehydrate';
const ADDRESS_PART_LENGTH_MAX = 63;

/** A request for a disk to be opened, as it comes in. */
export const ExportRequestSchema: z.ZodType<ExportRequest> = z.strictObject({
  address: z.string().max(4096).optional(),
  chapUser: z.string().optional(),
  chapSecret: z.string().optional(),
  mutualUser: z.string().optional(),
  mutualSecret: z.string().optional(),
  writable: z.boolean().optional(),
  overlay: z.string().optional(),
  sizeLimitBytes: z.int().min(1).optional(),
  newIdentity: z.boolean().optional(),
  note: z.string().max(4096).optional(),
  allowInitiators: z.array(z.string()).optional(),
  allowAddresses: z.array(z.string()).optional(),
  expiresInMs: z.int().min(1).optional(),
});
export interface ExportRequest {
  /** Absent only when an overlay is named. */
  readonly address?: string | undefined;
  readonly chapUser?: string | undefined;
  readonly chapSecret?: string | undefined;
  /** Asks the target to prove itself too; a secret is made when only a user is given. */
  readonly mutualUser?: string | undefined;
  readonly mutualSecret?: string | undefined;
  readonly writable?: boolean | undefined;
  /** An overlay that exists, to be opened again. */
  readonly overlay?: string | undefined;
  readonly sizeLimitBytes?: number | undefined;
  readonly newIdentity?: boolean | undefined;
  readonly note?: string | undefined;
  readonly allowInitiators?: readonly string[] | undefined;
  readonly allowAddresses?: readonly string[] | undefined;
  readonly expiresInMs?: number | undefined;
}

/** An open disk. */
export interface ExportRecord {
  readonly id: string;
  readonly address: string;
  readonly iqn: string;
  /** `host:port` for initiators. */
  readonly portal: string;
  readonly lun: 0;
  readonly readOnly: boolean;
  readonly sizeBytes: number;
  readonly createdAt: string;
  readonly expiresAt?: string;
  /** Id of the overlay that takes the writes. */
  readonly overlay?: string;
  readonly chap: SavedExport['chap'];
  /** What a new identity changed; in the answer to its request alone. */
  readonly identity?: IdentityReport;
}

/** An open disk as a list shows it: without its secrets, with who is using it. */
export interface ExportListing extends Omit<ExportRecord, 'chap' | 'identity'> {
  readonly chap: { readonly user: string };
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly sessions: readonly {
    readonly initiatorName: string;
    readonly address: string;
    readonly openedAt: string;
  }[];
}

/** @throws RestoreError `INVALID` for options that contradict each other. */
export function checkRequest(request: ExportRequest): void {
  const { address, overlay, writable, newIdentity, sizeLimitBytes, note } = request;
  if (address === undefined && overlay === undefined) {
    throw new RestoreError('INVALID', 'nothing to open: neither an address nor an overlay');
  }
  const isWritable = writable === true || overlay !== undefined;
  if (!isWritable && (newIdentity === true || sizeLimitBytes !== undefined || note !== undefined)) {
    throw new RestoreError('INVALID', 'a new identity, a limit and a note are for writable disks', {
      hint: 'Add --writable.',
    });
  }
  if (overlay !== undefined && (newIdentity === true || sizeLimitBytes !== undefined)) {
    throw new RestoreError(
      'INVALID',
      'identity and limit of an overlay are settled when it is made',
    );
  }
}

/** The credentials of a request, made where they are not given. */
export function credentialsOf(request: ExportRequest): SavedExport['chap'] {
  const user = request.chapUser ?? CHAP_USER;
  const secret = request.chapSecret ?? generateSecret();
  checkChap(user, secret);
  if (request.mutualUser === undefined && request.mutualSecret === undefined) {
    return { user, secret };
  }
  const mutual = {
    user: request.mutualUser ?? `${CHAP_USER}-target`,
    secret: request.mutualSecret ?? generateSecret(),
  };
  checkChap(mutual.user, mutual.secret);
  if (mutual.secret === secret) {
    throw new RestoreError('INVALID', 'both directions of CHAP have one secret', {
      hint: 'Use two; Windows and RFC 7143 refuse one.',
    });
  }
  return { user, secret, mutual };
}

/** The target name of a disk of a restore point: the same every time, no two alike. */
export function iqnOf(address: string, seed: string): string {
  const readable = address
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]+/g, '-')
    .slice(0, ADDRESS_PART_LENGTH_MAX);
  const unique = createHash('sha256').update(seed).digest('hex').slice(0, 16);
  return `${IQN_PREFIX}:${readable}.${unique}`;
}

import {
  type BlockDevice,
  BytesSource,
  type BlockSource,
  isBlockDevice,
} from '../../../core/index.ts';
import {
  identityOf,
  type IscsiEvent,
  IscsiTarget,
  type IscsiTargetOptions,
  type ReadOnlyExport,
} from '../../../iscsi/index.ts';
import { randomBytes } from '../../fixtures/random.ts';
import { type CommandResult, type LoginOptions, RawClient } from './raw-client.ts';

export const USER = 'helpdesk';
export const SECRET = 'correct-horse';
export const DISK_BYTES = 8 * 1024 * 1024;

/** What an export may say beside its disk. */
export type ExportExtra = Partial<Omit<ReadOnlyExport, 'readOnly' | 'source'>>;

/** A running target and what it told its log. */
export interface TargetFixture {
  readonly target: IscsiTarget;
  readonly port: number;
  /** Everything logged at warning level or above. */
  readonly warnings: string[];
  readonly events: IscsiEvent[];
  /** Adds an export with {@link USER} and {@link SECRET}: writable when the source is a device. */
  add(iqn: string, source: BlockSource | BlockDevice, extra?: ExportExtra): void;
  /** On the first portal unless another's port is given. */
  url(iqn: string, port?: number): string;
  /** Exports `source` under a name of its own and logs in, unit attention taken. */
  sessionOn(source: BlockSource, keys?: readonly string[]): Promise<RawClient>;
  /** A hand-made session that is logged in. */
  session(iqn: string, options?: Partial<LoginOptions>): Promise<RawClient>;
}

export async function startTarget(
  options: Partial<IscsiTargetOptions> = {},
): Promise<TargetFixture> {
  const warnings: string[] = [];
  const events: IscsiEvent[] = [];
  const ignore = (): void => {};
  const keep = (fields: object, message: string): void => {
    warnings.push(`${message} ${JSON.stringify(fields)}`);
  };
  const target = await IscsiTarget.start({
    portals: [{ host: '127.0.0.1', port: 0 }],
    logger: { debug: ignore, info: ignore, warn: keep, error: keep },
    onEvent: (event) => events.push(event),
    ...options,
  });
  const port = target.portals[0]?.port ?? 0;
  const add: TargetFixture['add'] = (iqn, source, extra = {}) =>
    target.addExport({
      iqn,
      ...(isBlockDevice(source) ? { readOnly: false, device: source } : { readOnly: true, source }),
      identity: identityOf(iqn),
      chap: { user: USER, secret: SECRET },
      ...extra,
    });
  const session: TargetFixture['session'] = async (iqn, login = {}) => {
    const client = await RawClient.connect(port);
    await client.login({ target: iqn, chap: { user: USER, secret: SECRET }, ...login });
    return client;
  };
  let exports = 0;
  return {
    target,
    port,
    warnings,
    events,
    add,
    session,
    url: (iqn, at = port) => `iscsi://${USER}%${SECRET}@127.0.0.1:${at}/${iqn}/0`,
    sessionOn: async (source, keys = []) => {
      exports += 1;
      const iqn = `iqn.2026-01.test:own-${exports}`;
      add(iqn, source);
      const client = await session(iqn, { keys });
      await clearAttention(client);
      return client;
    },
  };
}

/** Incompressible bytes and a source over them. */
export function randomDisk(
  seed: number,
  bytes = DISK_BYTES,
): { data: Uint8Array; source: BytesSource } {
  const data = randomBytes(bytes, seed);
  return { data, source: new BytesSource(data) };
}

/** READ(10). */
export function read10(block: number, count: number): Buffer {
  const cdb = Buffer.alloc(10);
  cdb[0] = 0x28;
  cdb.writeUInt32BE(block, 2);
  cdb.writeUInt16BE(count, 7);
  return cdb;
}

/** A new session begins with a unit attention; this takes it. */
export async function clearAttention(client: RawClient): Promise<void> {
  await client.command([0x00, 0, 0, 0, 0, 0]);
}

/** Sense key, ASC and ASCQ as `kk/aa/qq`. */
export function senseOf({ status, sense }: CommandResult): string {
  if (status !== 0x02) return `status ${status}`;
  const parts = [sense.readUInt8(2) & 0x0f, sense.readUInt8(12), sense.readUInt8(13)];
  return parts.map((part) => part.toString(16).padStart(2, '0')).join('/');
}

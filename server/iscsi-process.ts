/**
 * The iSCSI data plane: a process of its own, so that what a guest's bytes or an initiator do to it
 * cannot touch the gateway. Started by `iscsi-supervisor.ts`, spoken to over IPC.
 */
import { availableParallelism } from 'node:os';
import pino from 'pino';
import {
  asRestoreError,
  type BlockSource,
  isRestoreError,
  RestoreError,
  toPlainError,
} from '../core/index.ts';
import { IscsiTarget, identityOf, type ReadOnlyExport } from '../iscsi/index.ts';
import { newIdentity } from '../parsers/index.ts';
import { NativeRepository } from '../store-reader/index.ts';
import {
  createOverlay,
  type Overlay,
  openOverlay,
  readOverlayRecord,
} from '../store-writer/index.ts';
import type {
  IscsiActivity,
  IscsiExport,
  IscsiOpened,
  IscsiOverlay,
  IscsiRequestName,
  IscsiRequests,
  IscsiStart,
  ReplyMessage,
  RequestMessage,
} from './iscsi-messages.ts';

type Handlers = {
  [K in IscsiRequestName]: (body: IscsiRequests[K]['in']) => Promise<IscsiRequests[K]['out']>;
};

const logger = pino({ name: 'iscsi' }, pino.destination({ fd: 2, sync: true }));
/** For initiators to log out, and for the whole of closing. */
const DRAIN_MS = 1_000;
const CLOSE_MS = 10_000;

let repository: NativeRepository | undefined;
let target: IscsiTarget | undefined;
/** Open overlays, by target name. */
const overlays = new Map<string, Overlay>();

const handlers: Handlers = {
  start: async ({
    repository: location,
    credential,
    listen,
    advertise,
    cacheBytes,
  }: IscsiStart) => {
    repository = await NativeRepository.open(location, {
      threads: availableParallelism(),
      cacheBytes,
      ...(credential === undefined ? {} : { credential }),
    });
    target = await IscsiTarget.start({
      portals: [listen],
      logger,
      ...(advertise === undefined ? {} : { advertise: [advertise] }),
    });
    const [portal] = target.portals;
    if (portal === undefined) throw new RestoreError('IO', 'no portal is listening');
    return { portal };
  },
  export: async (wanted: IscsiExport) => {
    const { open, live } = running();
    const record = await open.point(wanted.point);
    const found = record.disks.find(({ id }) => id === wanted.disk);
    if (found === undefined) throw new RestoreError('NOT_FOUND', `no disk named ${wanted.disk}`);
    const source = open.openDisk(record, found);
    const { iqn, alias, chap, allow, overlay } = wanted;
    const common = {
      iqn,
      alias,
      identity: identityOf(wanted.identitySeed),
      chap,
      peekBytes: source.blockSize,
      ...(allow === undefined ? {} : { allow }),
    };
    if (overlay !== undefined) return await openWritable(live, source, common, overlay);
    live.addExport({ ...common, readOnly: true, source });
    return { sizeBytes: source.size };
  },
  revoke: async ({ iqn, graceMs }) => {
    await running().live.removeExport(iqn, { graceMs });
    await overlays.get(iqn)?.close();
    overlays.delete(iqn);
    return null;
  },
  activity: async () => activityOf(running().live),
};

async function openWritable(
  live: IscsiTarget,
  base: BlockSource,
  common: Omit<ReadOnlyExport, 'readOnly' | 'source'>,
  { folder, create, newIdentity: wantsIdentity }: IscsiOverlay,
): Promise<IscsiOpened> {
  const overlay = (await exists(folder))
    ? await openOverlay({ folder, base })
    : await makeOverlay(folder, base, create);
  try {
    const identity = wantsIdentity ? await newIdentity(overlay) : undefined;
    live.addExport({
      ...common,
      readOnly: false,
      device: overlay,
      space: () => ({
        usedBytes: overlay.usedBytes,
        availableBytes: Math.max(0, overlay.record.sizeLimitBytes - overlay.usedBytes),
      }),
    });
    overlays.set(common.iqn, overlay);
    return { sizeBytes: overlay.size, ...(identity === undefined ? {} : { identity }) };
  } catch (error) {
    await overlay.close();
    throw error;
  }
}

async function makeOverlay(
  folder: string,
  base: BlockSource,
  { sizeLimitBytes, freeSpaceFloorBytes, ...meta }: IscsiOverlay['create'],
): Promise<Overlay> {
  return await createOverlay({ folder, base, meta, sizeLimitBytes, freeSpaceFloorBytes });
}

async function exists(folder: string): Promise<boolean> {
  try {
    await readOverlayRecord(folder);
    return true;
  } catch (error) {
    if (isRestoreError(error, 'NOT_FOUND')) return false;
    throw error;
  }
}

function running(): { open: NativeRepository; live: IscsiTarget } {
  if (repository !== undefined && target !== undefined) return { open: repository, live: target };
  throw new RestoreError('BUSY', 'the iSCSI process has not started yet');
}

function activityOf(live: IscsiTarget): IscsiActivity[] {
  const sessions = live.sessions();
  return live.exports().map(({ iqn, bytesRead, bytesWritten, commands }) => ({
    iqn,
    bytesRead,
    bytesWritten,
    commands,
    sessions: sessions
      .filter((session) => session.iqn === iqn)
      .map(({ initiatorName, address, openedAt }) => ({
        initiatorName,
        address,
        openedAt: openedAt.toISOString(),
      })),
  }));
}

async function answer({ number, name, body }: RequestMessage): Promise<ReplyMessage> {
  try {
    const handle = handlers[name] as (body: unknown) => Promise<unknown>;
    return { number, ok: true, body: await handle(body) };
  } catch (error) {
    const failure = asRestoreError(error, 'the iSCSI process failed');
    return { number, ok: false, error: toPlainError(failure) };
  }
}

async function close(): Promise<void> {
  setTimeout(() => process.exit(1), CLOSE_MS).unref();
  await target?.drain({ graceMs: DRAIN_MS });
  await target?.close();
  // Closing an overlay makes durable what initiators did not ask to be.
  for (const overlay of overlays.values()) await overlay.close();
  await repository?.close();
  process.exit(0);
}

process.on('message', (message: RequestMessage) => {
  void answer(message).then((reply) => process.send?.(reply));
});
// The gateway is gone: nobody is left to revoke what is open.
process.on('disconnect', () => void close());
process.on('SIGTERM', () => void close());
// A terminal's Ctrl-C reaches the whole group; the gateway decides when this process ends.
process.on('SIGINT', () => undefined);

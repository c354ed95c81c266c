/**
 * The iSCSI data plane: a process of its own, so that what a guest's bytes or an initiator do to it
 * cannot touch the gateway. Started by `iscsi-supervisor.ts`, spoken to over IPC.
 */
import { availableParallelism } from 'node:os';
import pino from 'pino';
import { asRestoreError, RestoreError } from '../core/index.ts';
import { IscsiTarget, identityOf } from '../iscsi/index.ts';
import { NativeRepository } from '../store-reader/index.ts';
import type {
  IscsiActivity,
  IscsiExport,
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
const CLOSE_GRACE_MS = 1_000;

let repository: NativeRepository | undefined;
let target: IscsiTarget | undefined;

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
  export: async ({ iqn, alias, point, disk, identitySeed, chap }: IscsiExport) => {
    const { open, live } = running();
    const record = await open.point(point);
    const found = record.disks.find(({ id }) => id === disk);
    if (found === undefined) throw new RestoreError('NOT_FOUND', `no disk named ${disk}`);
    const source = open.openDisk(record, found);
    live.addExport({
      iqn,
      alias,
      readOnly: true,
      source,
      identity: identityOf(identitySeed),
      chap,
      peekBytes: source.blockSize,
    });
    return { sizeBytes: source.size };
  },
  revoke: async ({ iqn, graceMs }) => {
    await running().live.removeExport(iqn, { graceMs });
    return null;
  },
  activity: async () => activityOf(running().live),
};

function running(): { open: NativeRepository; live: IscsiTarget } {
  if (repository !== undefined && target !== undefined) return { open: repository, live: target };
  throw new RestoreError('BUSY', 'the iSCSI process has not started yet');
}

function activityOf(live: IscsiTarget): IscsiActivity[] {
  const sessions = live.sessions();
  return live.exports().map(({ iqn, bytesRead, commands }) => ({
    iqn,
    bytesRead,
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
    const { code, message, where, hint } = asRestoreError(error, 'the iSCSI process failed');
    return { number, ok: false, error: { code, message, where, hint } };
  }
}

async function close(): Promise<void> {
  setTimeout(() => process.exit(0), CLOSE_GRACE_MS).unref();
  await target?.close();
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

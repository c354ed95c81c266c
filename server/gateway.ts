import { unlinkSync } from 'node:fs';
import { type Credential, NativeRepository } from '../store-reader/index.ts';
import { controlApp, listenOnSocket } from './control-api.ts';
import { Exports } from './exports.ts';
import type { HostPort } from './iscsi-messages.ts';
import { IscsiSupervisor } from './iscsi-supervisor.ts';
import type { Logger } from './logger.ts';
import { Overlays } from './overlays.ts';
import { ServiceState } from './state.ts';

export interface GatewayOptions {
  readonly repository: string;
  readonly credential: Credential | undefined;
  readonly iscsiListen: HostPort;
  /** What initiators are told instead of the address listened on. */
  readonly iscsiAdvertise: HostPort | undefined;
  /** Path of the control socket. */
  readonly control: string;
  /** Folder for what the service keeps: what is open, and overlays. */
  readonly state: string;
  /** Decoded blocks kept in memory by the iSCSI process. */
  readonly cacheBytes: number;
  readonly logger: Logger;
}

/** The running service. */
export interface Gateway {
  readonly iscsiPortal: HostPort;
  readonly iscsiProcessId: number | undefined;
  readonly control: string;
  close(): Promise<void>;
}

/**
 * Starts the service: the control interface here, guests' bytes in processes of their own.
 *
 * @throws RestoreError when the repository does not open, or an address or the socket is taken.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { credential, logger } = options;
  const repository = await NativeRepository.open(options.repository, {
    cacheBytes: 0,
    ...(credential === undefined ? {} : { credential }),
  });
  let iscsi: IscsiSupervisor | undefined;
  let exports: Exports | undefined;
  const stop = async (): Promise<void> => {
    exports?.close();
    await iscsi?.stop();
    await repository.close();
  };
  try {
    const state = new ServiceState(options.state, repository.record.id);
    iscsi = await IscsiSupervisor.start(
      {
        repository: options.repository,
        credential,
        listen: options.iscsiListen,
        advertise: options.iscsiAdvertise,
        cacheBytes: options.cacheBytes,
      },
      logger,
    );
    exports = new Exports({ repository, iscsi, state, logger, advertise: options.iscsiAdvertise });
    const overlays = new Overlays(state, repository, exports);
    // Before anything is opened: a second service of this state must find the socket taken.
    const server = await listenOnSocket(controlApp(exports, overlays), options.control);
    await exports.restore();
    return {
      iscsiPortal: iscsi.portal,
      iscsiProcessId: iscsi.processId,
      control: options.control,
      close: async () => {
        server.close();
        server.closeAllConnections();
        await stop();
        unlinkQuietly(options.control);
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function unlinkQuietly(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // Closing the server has removed it already.
  }
}

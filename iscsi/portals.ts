/** The addresses that a target listens on, and those that it tells of. */
import { createServer, isIPv6, type Server } from 'node:net';
import { asRestoreError } from '../core/index.ts';
import type { Connection } from './session/connection.ts';

export interface PortalAddress {
  readonly host: string;
  readonly port: number;
}

const PORTAL_GROUP_TAG = 1;
const WILDCARDS = new Set(['0.0.0.0', '::']);

/** @throws RestoreError `IO` or `DENIED` when the address cannot be listened on. */
export async function listen({ host, port }: PortalAddress): Promise<Server> {
  const server = createServer({ noDelay: true });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, resolve);
    });
  } catch (error) {
    throw asRestoreError(error, 'cannot listen for iSCSI', { object: `${host}:${port}` });
  }
  server.removeAllListeners('error');
  return server;
}

/**
 * `TargetAddress` values that an initiator on `connection` can use. RFC 7143 section 13.8.
 *
 * @param advertise what to tell in place of the local addresses
 */
export function targetAddresses(
  connection: Connection,
  portals: readonly PortalAddress[],
  advertise: readonly PortalAddress[] | undefined,
): readonly string[] {
  return (advertise ?? reachable(connection, portals)).map(({ host, port }) => {
    const shown = isIPv6(host) ? `[${host}]` : host;
    return `${shown}:${port},${PORTAL_GROUP_TAG}`;
  });
}

/** The portal in use first; others too, unless they are loopback and the initiator is not. */
function reachable(
  connection: Connection,
  portals: readonly PortalAddress[],
): readonly PortalAddress[] {
  const used = { host: connection.localAddress, port: connection.localPort };
  const isLocal = isLoopback(used.host);
  const others = portals.filter(
    ({ host, port }) =>
      !WILDCARDS.has(host) &&
      (host !== used.host || port !== used.port) &&
      (isLocal || !isLoopback(host)),
  );
  return [used, ...others];
}

function isLoopback(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

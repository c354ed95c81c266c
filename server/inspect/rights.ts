import { Socket as DatagramSocket } from 'node:dgram';
import { Server, Socket } from 'node:net';
import { RestoreError } from '../../core/index.ts';
import { storeCompiledCode } from './compile-cache.ts';
import type { FromInspector } from './messages.ts';

/**
 * Gives up for good what a process needs to start and nothing later, and what Node's permission model
 * leaves to it: signals to other processes, and the network. To be called before anything of others is
 * read; tells the parent, which sends nothing to read before.
 *
 * Ends the process when it runs without Node's permission model: it must not parse anything then.
 */
export function giveUpStartRights(): void {
  const permission: unknown = process.permission;
  if (permission === undefined) {
    process.stderr.write('rehydrate: an inspector must run under --permission\n');
    process.exit(1);
  }
  storeCompiledCode();
  (permission as { drop(scope: string): void }).drop('fs.write');
  // A signal can end any process of this user's, or have another Node open its debugger.
  for (const name of ['kill', '_kill', '_debugProcess', '_debugEnd']) refuse(process, name);
  for (const name of ['connect']) refuse(Socket.prototype, name);
  for (const name of ['listen', '_listen2']) refuse(Server.prototype, name);
  for (const name of ['bind', 'connect', 'send']) refuse(DatagramSocket.prototype, name);
  process.send?.({ kind: 'ready' } satisfies FromInspector);
}

/** Puts a refusal in the place of a function, where nothing can put anything else. */
function refuse(target: object, name: string): void {
  const value = (): never => {
    throw new RestoreError('DENIED', `an inspector must not ${name}`);
  };
  Object.defineProperty(target, name, { value, writable: false, configurable: false });
}

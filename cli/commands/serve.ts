import type { Command } from 'commander';
import pino from 'pino';
import { RestoreError } from '../../core/index.ts';
import { formatHostPort, startGateway } from '../../server/index.ts';
import { type CredentialOptions, credentialFrom, withCredentials } from '../support/credentials.ts';
import { controlSocket, stateFolder } from '../support/environment.ts';
import { parseHostPort } from '../support/host-port.ts';
import { type OutputOptions, print, withJson } from '../support/output.ts';

interface ServeFlags extends CredentialOptions, OutputOptions {
  readonly iscsiListen: string;
  readonly iscsiAdvertise?: string;
  readonly control?: string;
  readonly cache: string;
  readonly state?: string;
}

const MIB = 1024 * 1024;

export function registerServe(program: Command): void {
  const command = program
    .command('serve')
    .description('run the service that opens disks; it prints a line when it is ready')
    .argument('<repo>', 'folder of the repository')
    .option('--iscsi-listen <host:port>', 'where iSCSI initiators connect', '127.0.0.1:3260')
    .option('--iscsi-advertise <host:port>', 'what they are told instead (NAT, VM networks)')
    .option('--control <path>', 'control socket; $REHYDRATE_CONTROL or a default otherwise')
    .option('--state <folder>', 'what is open and overlays are kept here; a default otherwise')
    .option('--cache <MiB>', 'decoded blocks kept in memory', '256')
    .action(run);
  withCredentials(withJson(command));
}

async function run(location: string, flags: ServeFlags): Promise<void> {
  const cacheMib = Number(flags.cache);
  if (!(cacheMib >= 1)) {
    throw new RestoreError('INVALID', '--cache takes MiB', { where: { found: flags.cache } });
  }
  const advertise = flags.iscsiAdvertise;
  const gateway = await startGateway({
    repository: location,
    credential: credentialFrom(flags),
    iscsiListen: parseHostPort('--iscsi-listen', flags.iscsiListen),
    iscsiAdvertise:
      advertise === undefined ? undefined : parseHostPort('--iscsi-advertise', advertise),
    control: flags.control ?? controlSocket(),
    state: flags.state ?? stateFolder(),
    cacheBytes: cacheMib * MIB,
    logger: pino({ name: 'gateway' }, pino.destination({ fd: 2, sync: true })),
  });
  const { iscsiPortal, iscsiProcessId, control } = gateway;
  const portal = formatHostPort(iscsiPortal);
  const ready = { ready: true, portal, control, processId: process.pid, iscsiProcessId };
  print(flags, ready, () => `ready: iSCSI on ${portal}, control on ${control}\n`);
  const signal = await new Promise<string>((resolve) => {
    process.once('SIGINT', () => resolve('SIGINT')).once('SIGTERM', () => resolve('SIGTERM'));
  });
  process.stderr.write(`rehydrate: ${signal}, closing\n`);
  await gateway.close();
}

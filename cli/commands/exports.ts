import type { Command } from 'commander';
import type { ExportListing } from '../../server/index.ts';
import { callControl } from '../support/control-client.ts';
import { controlSocket } from '../support/environment.ts';
import { formatBytes, formatTable } from '../support/format.ts';
import { type OutputOptions, print, withJson } from '../support/output.ts';

interface ExportsFlags extends OutputOptions {
  readonly control?: string;
}

export function registerExports(program: Command): void {
  const command = program
    .command('exports')
    .description('list what the running service has open, and who is using it')
    .option('--control <path>', 'control socket of the service')
    .action(run);
  withJson(command);
}

async function run(flags: ExportsFlags): Promise<void> {
  const socket = flags.control ?? controlSocket();
  const result = await callControl<{ exports: ExportListing[] }>(socket, 'GET', '/v1/exports');
  print(flags, result, ({ exports }) =>
    exports.length === 0 ? 'nothing is open\n' : toText(exports),
  );
}

function toText(exports: readonly ExportListing[]): string {
  return formatTable(
    exports.map(
      ({ id, address, iqn, chap, bytesRead, bytesWritten, overlay, expiresAt, sessions }) => ({
        export: id,
        address,
        user: chap.user,
        read: formatBytes(bytesRead),
        written: overlay === undefined ? 'read-only' : formatBytes(bytesWritten),
        until: expiresAt ?? 'revoked',
        initiators: sessions.map((session) => session.initiatorName).join(', ') || 'none',
        target: iqn,
      }),
    ),
  );
}

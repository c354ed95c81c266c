import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { asRestoreError, RestoreError } from '../../core/index.ts';
import { type ExportRecord, WINDOWS_SECRET_LENGTH_MAX } from '../../server/index.ts';
import { callControl } from '../support/control-client.ts';
import { controlSocket } from '../support/environment.ts';
import { formatBytes } from '../support/format.ts';
import { type OutputOptions, print, warn, withJson } from '../support/output.ts';
import { pasteCommands } from '../support/paste-commands.ts';

interface ExportFlags extends OutputOptions {
  readonly iscsi?: boolean;
  readonly control?: string;
  readonly chapUser?: string;
  readonly chapSecret?: string;
  readonly chapSecretFile?: string;
}

export function registerExport(program: Command): void {
  const command = program
    .command('export')
    .description('open a disk through the running service, and tell how to reach it')
    .argument('<address>', 'machine@point[/disk]')
    .option('--iscsi', 'as an iSCSI LUN')
    .option('--chap-user <name>', 'CHAP user')
    .option('--chap-secret <secret>', 'CHAP secret, 12 to 16 characters; one is made by default')
    .option('--chap-secret-file <file>', 'the same, from a file, so that no process list shows it')
    .option('--control <path>', 'control socket of the service')
    .action(run);
  withJson(command);
}

async function run(address: string, flags: ExportFlags): Promise<void> {
  if (flags.iscsi !== true) {
    throw new RestoreError('INVALID', 'through which door?', { hint: 'Add --iscsi.' });
  }
  const secret =
    flags.chapSecretFile === undefined ? flags.chapSecret : readSecret(flags.chapSecretFile);
  if (secret !== undefined && secret.length > WINDOWS_SECRET_LENGTH_MAX) {
    warn(`Windows takes CHAP secrets of at most ${WINDOWS_SECRET_LENGTH_MAX} characters`);
  }
  const record = await callControl<ExportRecord>(
    flags.control ?? controlSocket(),
    'POST',
    '/v1/exports',
    { address, chapUser: flags.chapUser, chapSecret: secret },
  );
  print(flags, record, toText);
}

function toText(record: ExportRecord): string {
  const { id, address, iqn, portal, lun, sizeBytes, chap } = record;
  return [
    `opened ${address}, ${formatBytes(sizeBytes)}, read-only`,
    `  export      ${id}`,
    `  target      ${iqn}`,
    `  portal      ${portal}`,
    `  LUN         ${lun}`,
    `  CHAP user   ${chap.user}`,
    `  CHAP secret ${chap.secret}`,
    '',
    ...pasteCommands(record),
    '',
    `close it with: rehydrate revoke ${id}`,
    '',
  ].join('\n');
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw asRestoreError(error, 'cannot read the CHAP secret', { object: file });
  }
}

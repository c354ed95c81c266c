import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { asRestoreError, RestoreError } from '../../core/index.ts';
import {
  type ExportRecord,
  type ExportRequest,
  WINDOWS_SECRET_LENGTH_MAX,
} from '../../server/index.ts';
import { callControl } from '../support/control-client.ts';
import { controlSocket } from '../support/environment.ts';
import { formatBytes } from '../support/format.ts';
import { type OutputOptions, print, warn, withJson } from '../support/output.ts';
import { pasteCommands } from '../support/paste-commands.ts';
import { parseDuration, parseGibibytes } from '../support/values.ts';

interface ExportFlags extends OutputOptions {
  readonly iscsi?: boolean;
  readonly control?: string;
  readonly chapUser?: string;
  readonly chapSecret?: string;
  readonly chapSecretFile?: string;
  readonly mutualUser?: string;
  readonly mutualSecretFile?: string;
  readonly mutual?: boolean;
  readonly writable?: boolean;
  readonly overlay?: string;
  readonly sizeLimit?: string;
  readonly newIdentity?: boolean;
  readonly note?: string;
  readonly allowInitiator?: readonly string[];
  readonly allowAddress?: readonly string[];
  readonly expires?: string;
}

export function registerExport(program: Command): void {
  const command = program
    .command('export')
    .description('open a disk through the running service, and tell how to reach it')
    .argument('[address]', 'machine@point[/disk]; not needed with --overlay')
    .option('--iscsi', 'as an iSCSI LUN')
    .option('--chap-user <name>', 'CHAP user')
    .option('--chap-secret <secret>', 'CHAP secret, 12 to 16 characters; one is made by default')
    .option('--chap-secret-file <file>', 'the same, from a file, so that no process list shows it')
    .option('--mutual', 'the target proves itself too; user and secret are made')
    .option('--mutual-user <name>', "the target's own user")
    .option('--mutual-secret-file <file>', "file with the target's own secret")
    .option('--writable', 'writes go to a private overlay; the backup never changes')
    .option('--overlay <id>', 'open an overlay again, with all that was written to it')
    .option('--size-limit <GiB>', 'what the overlay may hold; the size of the disk by default')
    .option('--new-identity', 'new GPT GUIDs or MBR signature, to attach it beside the original')
    .option('--note <text>', 'whose overlay it is and what for')
    .option('--allow-initiator <name>', 'only initiators so named; may be given again', collect)
    .option('--allow-address <cidr>', 'only from there; may be given again', collect)
    .option('--expires <duration>', 'close it by itself after 30m, 8h, 2d…')
    .option('--control <path>', 'control socket of the service')
    .action(run);
  withJson(command);
}

async function run(address: string | undefined, flags: ExportFlags): Promise<void> {
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
    requestOf(address, secret, flags),
  );
  print(flags, record, toText);
}

function requestOf(
  address: string | undefined,
  chapSecret: string | undefined,
  flags: ExportFlags,
): ExportRequest {
  const wantsMutual = flags.mutual === true && flags.mutualUser === undefined;
  return {
    address,
    chapUser: flags.chapUser,
    chapSecret,
    mutualUser: wantsMutual ? 'rehydrate-target' : flags.mutualUser,
    mutualSecret:
      flags.mutualSecretFile === undefined ? undefined : readSecret(flags.mutualSecretFile),
    writable: flags.writable,
    overlay: flags.overlay,
    sizeLimitBytes:
      flags.sizeLimit === undefined ? undefined : parseGibibytes('--size-limit', flags.sizeLimit),
    newIdentity: flags.newIdentity,
    note: flags.note,
    allowInitiators: flags.allowInitiator,
    allowAddresses: flags.allowAddress,
    expiresInMs:
      flags.expires === undefined ? undefined : parseDuration('--expires', flags.expires),
  };
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function identityLines({ identity }: ExportRecord): string[] {
  if (identity === undefined) return [];
  return [
    '',
    'new identity:',
    ...identity.changed.map(({ what, before, after }) => `  ${what}: ${before} → ${after}`),
    ...identity.notes.map((note) => `  ${note}`),
    ...identity.clashes.map(
      ({ kind, name, value, advice }) =>
        `  as on the original: ${kind} ${name} ${value}. ${advice}`,
    ),
  ];
}

function toText(record: ExportRecord): string {
  const { id, address, iqn, portal, lun, sizeBytes, chap, overlay, expiresAt } = record;
  const how = overlay === undefined ? 'read-only' : `writable on overlay ${overlay.slice(0, 8)}`;
  return [
    `opened ${address}, ${formatBytes(sizeBytes)}, ${how}`,
    `  export      ${id}`,
    `  target      ${iqn}`,
    `  portal      ${portal}`,
    `  LUN         ${lun}`,
    `  CHAP user   ${chap.user}`,
    `  CHAP secret ${chap.secret}`,
    ...(chap.mutual === undefined
      ? []
      : [`  target user ${chap.mutual.user}`, `  its secret  ${chap.mutual.secret}`]),
    ...(expiresAt === undefined ? [] : [`  until       ${expiresAt}`]),
    ...identityLines(record),
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

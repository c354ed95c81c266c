import type { Command } from 'commander';
import { callControl } from '../support/control-client.ts';
import { controlSocket } from '../support/environment.ts';
import { type OutputOptions, print, withJson } from '../support/output.ts';

interface RevokeFlags extends OutputOptions {
  readonly control?: string;
}

export function registerRevoke(program: Command): void {
  const command = program
    .command('revoke')
    .description('close an export; its initiators are told, then disconnected')
    .argument('<export>', 'its id, or its target name')
    .option('--control <path>', 'control socket of the service')
    .action(run);
  withJson(command);
}

async function run(wanted: string, flags: RevokeFlags): Promise<void> {
  const socket = flags.control ?? controlSocket();
  const resource = `/v1/exports/${encodeURIComponent(wanted)}`;
  const result = await callControl<{ revoked: string }>(socket, 'DELETE', resource);
  print(flags, result, ({ revoked }) => `revoked ${revoked}\n`);
}

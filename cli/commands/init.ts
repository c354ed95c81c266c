import type { Command } from 'commander';
import { Option } from 'commander';
import { RestoreError } from '../../core/index.ts';
import type { Codec } from '../../store-reader/index.ts';
import { initRepository } from '../../store-writer/index.ts';
import { type CredentialOptions, credentialFrom, withCredentials } from '../support/credentials.ts';
import { type OutputOptions, print, withJson } from '../support/output.ts';

interface InitFlags extends CredentialOptions, OutputOptions {
  readonly blockSize: string;
  readonly codec: Codec | 'none';
  readonly level: string;
  readonly encrypt?: boolean;
}

export function registerInit(program: Command): void {
  const command = program
    .command('init')
    .description('make an empty repository')
    .argument('<repo>', 'folder of the repository')
    .option('--block-size <KiB>', 'unit of deduplication, 16 to 1024 KiB', '64')
    .addOption(
      new Option('--codec <name>', 'compression').choices(['zstd', 'lz4', 'none']).default('zstd'),
    )
    .option('--level <n>', 'zstd level, 1 to 19', '3')
    .option('--encrypt', 'encrypt with AES-256-GCM under the passphrase or key file given')
    .action(run);
  withCredentials(withJson(command));
}

async function run(location: string, flags: InitFlags): Promise<void> {
  const credential = flags.encrypt === true ? credentialFrom(flags) : undefined;
  if (flags.encrypt === true && credential === undefined) {
    throw new RestoreError('INVALID', 'an encrypted repository needs a key', {
      hint: 'Give --passphrase-file or --key-file, or set REHYDRATE_PASSPHRASE.',
    });
  }
  if (flags.encrypt !== true && (flags.keyFile ?? flags.passphraseFile) !== undefined) {
    throw new RestoreError('INVALID', 'a key was given, but not --encrypt', {
      hint: 'Add --encrypt, or leave the key away for a repository in the clear.',
    });
  }
  const record = await initRepository(location, {
    blockSize: Number(flags.blockSize) * 1024,
    codec: flags.codec === 'none' ? 'raw' : flags.codec,
    level: Number(flags.level),
    ...(credential === undefined ? {} : { credentials: [credential] }),
  });
  const { id, blockSize, codec, level, encryption } = record;
  const result = {
    repository: location,
    id,
    blockSize,
    codec,
    level,
    encrypted: encryption !== undefined,
  };
  print(flags, result, () => {
    const how = codec === 'zstd' ? `zstd ${level}` : codec;
    const safe = result.encrypted ? 'encrypted' : 'not encrypted';
    return `made repository ${location}: blocks of ${blockSize / 1024} KiB, ${how}, ${safe}\n`;
  });
}

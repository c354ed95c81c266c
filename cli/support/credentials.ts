import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { asRestoreError } from '../../core/index.ts';
import type { Credential } from '../../store-reader/index.ts';
import { passphraseFromEnvironment } from './environment.ts';

export interface CredentialOptions {
  readonly passphraseFile?: string;
  readonly keyFile?: string;
}

/** Adds the options that open an encrypted repository. */
export function withCredentials(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'file with the passphrase of an encrypted repository')
    .option('--key-file <file>', 'key file of an encrypted repository');
}

/** What the options and the environment give; a key file goes before a passphrase. */
export function credentialFrom(options: CredentialOptions): Credential | undefined {
  if (options.keyFile !== undefined) {
    return { kind: 'key-file', content: readSecretFile(options.keyFile) };
  }
  if (options.passphraseFile !== undefined) {
    const text = readSecretFile(options.passphraseFile).toString('utf8');
    return { kind: 'passphrase', passphrase: text.replace(/\r?\n$/, '') };
  }
  const passphrase = passphraseFromEnvironment();
  return passphrase === undefined ? undefined : { kind: 'passphrase', passphrase };
}

function readSecretFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw asRestoreError(error, 'cannot read a key', { object: file });
  }
}

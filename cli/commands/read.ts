import { once } from 'node:events';
import type { Command } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { resolveDisk } from '../../store-reader/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { type OutputOptions, withJson } from '../support/output.ts';
import { withRepository } from '../support/repository.ts';

interface ReadFlags extends CredentialOptions, OutputOptions {
  readonly offset: string;
  readonly length?: string;
}

const CHUNK_BYTES = 1024 * 1024;

export function registerRead(program: Command): void {
  const command = program
    .command('read')
    .description('write bytes of a disk to standard output')
    .argument('<repo>', 'folder of the repository')
    .argument('<address>', 'machine@point[/disk]')
    .option('--offset <bytes>', 'where to begin', '0')
    .option('--length <bytes>', 'how many bytes; to the end by default')
    .action(run);
  withCredentials(withJson(command));
}

async function run(location: string, address: string, flags: ReadFlags): Promise<void> {
  await withRepository(
    location,
    flags,
    async (repository) => {
      const { point, disk } = await resolveDisk(repository, address);
      const source = repository.openDisk(point, disk);
      const offset = parseCount('--offset', flags.offset);
      const length =
        flags.length === undefined
          ? Math.max(0, source.size - offset)
          : parseCount('--length', flags.length);
      if (offset + length > source.size) {
        throw new RestoreError('INVALID', 'the range is not inside the disk', {
          where: { object: address, expected: `at most ${source.size}`, found: offset + length },
        });
      }
      if (flags.json === true) {
        await writeJson(length, (target) => source.readInto(target, offset));
        return;
      }
      for (let at = 0; at < length; at += CHUNK_BYTES) {
        const chunk = new Uint8Array(Math.min(CHUNK_BYTES, length - at));
        await source.readInto(chunk, offset + at);
        if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
      }
    },
    { checkIds: true },
  );
}

async function writeJson(
  length: number,
  read: (target: Uint8Array) => Promise<void>,
): Promise<void> {
  if (length > CHUNK_BYTES) {
    throw new RestoreError('INVALID', 'too much for one JSON document', {
      where: { expected: `at most ${CHUNK_BYTES} bytes with --json`, found: length },
    });
  }
  const data = Buffer.alloc(length);
  await read(data);
  process.stdout.write(`${JSON.stringify({ length, base64: data.toString('base64') })}\n`);
}

function parseCount(name: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new RestoreError('INVALID', `${name} takes a number of bytes`, { where: { found: text } });
}

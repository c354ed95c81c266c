import type { Command } from 'commander';
import {
  type NativeRepository,
  PACKS_PREFIX,
  packObject,
  readPackSet,
  resolveAddress,
} from '../../store-reader/index.ts';
import { type CredentialOptions, withCredentials } from '../support/credentials.ts';
import { formatBytes, formatRatio } from '../support/format.ts';
import { type OutputOptions, print, warn, withJson } from '../support/output.ts';
import { withRepository } from '../support/repository.ts';

interface InfoFlags extends CredentialOptions, OutputOptions {}

export function registerInfo(program: Command): void {
  const command = program
    .command('info')
    .description('tell all that is known of a repository or of a restore point')
    .argument('<repo>', 'folder of the repository')
    .argument('[address]', 'machine@point')
    .action(run);
  withCredentials(withJson(command));
}

async function run(location: string, address: string | undefined, flags: InfoFlags): Promise<void> {
  await withRepository(location, flags, async (repository) => {
    for (const { message } of repository.catalog.damage) warn(message);
    if (address === undefined) await describeRepository(repository, flags);
    else await describePoint(repository, address, flags);
  });
}

async function describeRepository(repository: NativeRepository, flags: InfoFlags): Promise<void> {
  const { record, catalog, backend } = repository;
  let packs = 0;
  let storedBytes = 0;
  for await (const name of backend.list(PACKS_PREFIX)) {
    packs += 1;
    storedBytes += await backend.sizeOf(name);
  }
  const machines = new Set(catalog.points.map(({ machine }) => machine)).size;
  const { id, createdAt, blockSize, codec, level, encryption } = record;
  const result = {
    repository: backend.location,
    id,
    format: record.format,
    createdAt,
    blockSize,
    codec,
    level,
    encrypted: encryption !== undefined,
    machines,
    points: catalog.points.length,
    commits: catalog.lastNumber,
    packs,
    storedBytes,
  };
  print(flags, result, () =>
    lines({
      repository: result.repository,
      id,
      format: String(result.format),
      created: createdAt,
      blocks: `${blockSize / 1024} KiB, ${codec === 'zstd' ? `zstd ${level}` : codec}`,
      encryption: result.encrypted ? 'AES-256-GCM' : 'none',
      machines: String(machines),
      'restore points': String(result.points),
      stored: `${formatBytes(storedBytes)} in ${packs} packs`,
    }),
  );
}

async function describePoint(
  repository: NativeRepository,
  address: string,
  flags: InfoFlags,
): Promise<void> {
  const { point } = await resolveAddress(repository, address);
  let storedBytes = 0;
  const packs = await readPackSet(repository.blocks, point);
  for (const pack of packs) storedBytes += await repository.backend.sizeOf(packObject(pack));
  const { packs: _list, ...record } = point;
  const result = { ...record, packs: packs.size, packBytes: storedBytes };
  const { statistics: s } = point;
  print(flags, result, () =>
    lines({
      point: `${point.machine}@${point.takenAt}`,
      id: point.id,
      captured: point.capturedAt,
      consistency: point.consistency,
      archived: point.archived ? 'yes: never pruned' : 'no',
      tags:
        Object.entries(point.tags)
          .map(([key, value]) => `${key}=${value}`)
          .join(' ') || 'none',
      configuration: point.configuration?.name ?? 'none',
      disks: point.disks.map((d) => `${d.id} ${formatBytes(d.sizeBytes)} (${d.name})`).join(', '),
      'read then': formatBytes(s.readBytes),
      'new then': `${formatBytes(s.newBytes)}, written ${formatBytes(s.writtenBytes)}`,
      dedup: formatRatio(s.deduplicatedBytes + s.newBytes, s.newBytes),
      packs: `${packs.size}, ${formatBytes(storedBytes)} in all`,
    }),
  );
}

function lines(rows: Readonly<Record<string, string>>): string {
  const width = Math.max(...Object.keys(rows).map((key) => key.length));
  return Object.entries(rows)
    .map(([key, value]) => `${key.padEnd(width)}  ${value}\n`)
    .join('');
}

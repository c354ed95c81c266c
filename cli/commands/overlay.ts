import { type Command, Option } from 'commander';
import { RestoreError } from '../../core/index.ts';
import { encodeImage } from '../../parsers/index.ts';
import type { OverlayListing } from '../../server/index.ts';
import type { NativeRepository } from '../../store-reader/index.ts';
import {
  commitOverlay,
  type Overlay,
  openOverlay,
  readOverlayRecord,
  writeDisk,
} from '../../store-writer/index.ts';
import { callControl } from '../support/control-client.ts';
import { type CredentialOptions, credentialFrom, withCredentials } from '../support/credentials.ts';
import { cacheFolder, controlSocket } from '../support/environment.ts';
import { formatBytes, formatTable } from '../support/format.ts';
import { type OutputOptions, print, warn, withJson } from '../support/output.ts';
import { withRepository } from '../support/repository.ts';
import { parseTags, parseTime } from '../support/values.ts';

interface OverlayFlags extends OutputOptions, CredentialOptions {
  readonly control?: string;
}

interface CommitFlags extends OverlayFlags {
  readonly machine?: string;
  readonly at?: string;
  readonly tag: readonly string[];
  readonly archived?: boolean;
}

interface ExportFlags extends OverlayFlags {
  readonly format: 'raw' | 'qcow2';
  readonly force?: boolean;
  readonly verify?: boolean;
}

export function registerOverlay(program: Command): void {
  const overlay = program
    .command('overlay')
    .description('list, keep or discard what was written to writable exports');
  withControl(
    overlay.command('list').description('list the overlays of the running service'),
  ).action(list);
  withControl(
    overlay
      .command('discard')
      .description('delete an overlay and all that was written to it')
      .argument('<id>', 'its id, or the beginning of one'),
  ).action(discard);
  const commit = overlay
    .command('commit')
    .description('make a new restore point of the point and what was written over it')
    .argument('<id>', 'its id, or the beginning of one')
    .option('--machine <name>', 'of another machine than its point')
    .option('--at <time>', 'time of the new point (RFC 3339); now by default')
    .option('--tag <key=value>', 'a tag; may be given again', collect, [])
    .option('--archived', 'never prune the new point');
  withCredentials(withControl(commit)).action(runCommit);
  const write = overlay
    .command('export')
    .description('write the disk, as changed, to a file or block device')
    .argument('<id>', 'its id, or the beginning of one')
    .argument('<out>', 'new file, or block device')
    .addOption(
      new Option('--format <name>', 'format of the file').choices(['raw', 'qcow2']).default('raw'),
    )
    .option('--force', 'replace a file, or write over a block device')
    .option('--verify', 'read it back and compare');
  withCredentials(withControl(write)).action(runExport);
}

async function list(flags: OverlayFlags): Promise<void> {
  const result = await ask<{ overlays: OverlayListing[] }>(flags, 'GET', '');
  print(flags, result, ({ overlays }) =>
    overlays.length === 0
      ? 'no overlays\n'
      : formatTable(
          overlays.map((each) => ({
            overlay: each.id.slice(0, 8),
            of: each.address ?? each.pointId ?? '?',
            used: formatBytes(each.usedBytes),
            export: each.export ?? 'closed',
            created: each.createdAt ?? '',
            note: each.damaged === undefined ? (each.note ?? '') : `DAMAGED: ${each.damaged}`,
          })),
        ),
  );
}

async function discard(id: string, flags: OverlayFlags): Promise<void> {
  const result = await ask<{ discarded: string }>(flags, 'DELETE', `/${encodeURIComponent(id)}`);
  print(flags, result, ({ discarded }) => `discarded ${discarded}\n`);
}

async function runCommit(id: string, flags: CommitFlags): Promise<void> {
  const takenAt = parseTime(flags.at);
  await withOverlay(id, flags, async (overlay, found) => {
    const credential = credentialFrom(flags);
    const { point, statistics } = await commitOverlay(found.repository, overlay, {
      cacheFolder: cacheFolder(),
      onWarning: warn,
      takenAt,
      tags: parseTags(flags.tag),
      archived: flags.archived === true,
      ...(flags.machine === undefined ? {} : { machine: flags.machine }),
      ...(credential === undefined ? {} : { credential }),
    });
    const address = `${point.machine}@${point.takenAt}`;
    const result = { id: point.id, address, overlay: found.id, ...statistics };
    print(flags, result, () => {
      const { newBytes, writtenBytes } = statistics;
      return `committed ${address}: ${formatBytes(newBytes)} new, ${formatBytes(writtenBytes)} written\n`;
    });
  });
}

async function runExport(id: string, out: string, flags: ExportFlags): Promise<void> {
  await withOverlay(id, flags, async (overlay, found) => {
    const source = flags.format === 'raw' ? overlay : await encodeImage(overlay, flags.format);
    const writtenBytes = await writeDisk(source, out, {
      force: flags.force === true,
      verify: flags.verify === true,
    });
    const result = { overlay: found.id, out, format: flags.format, writtenBytes };
    print(flags, result, () => `wrote ${out}: ${formatBytes(writtenBytes)} of data\n`);
  });
}

/** Opens an overlay that no export uses; its lock keeps the service off meanwhile. */
async function withOverlay(
  id: string,
  flags: OverlayFlags,
  body: (overlay: Overlay, found: OverlayListing) => Promise<void>,
): Promise<void> {
  const found = await ask<OverlayListing>(flags, 'GET', `/${encodeURIComponent(id)}`);
  if (found.export !== undefined) {
    throw new RestoreError('BUSY', 'the overlay is open', {
      where: { object: `export ${found.export}` },
      hint: `Close it first: rehydrate revoke ${found.export}.`,
    });
  }
  await withRepository(found.repository, flags, async (repository) => {
    const base = await baseOf(repository, found.folder);
    const overlay = await openOverlay({ folder: found.folder, base });
    try {
      await body(overlay, found);
    } finally {
      await overlay.close();
    }
  });
}

async function baseOf(
  repository: NativeRepository,
  folder: string,
): Promise<ReturnType<NativeRepository['openDisk']>> {
  const { pointId, diskId } = await readOverlayRecord(folder);
  const name = repository.catalog.points.find(({ id }) => id === pointId);
  const point = name === undefined ? undefined : await repository.point(name);
  const disk = point?.disks.find(({ id }) => id === diskId);
  if (point === undefined || disk === undefined) {
    throw new RestoreError('NOT_FOUND', 'the restore point of the overlay is not there any more', {
      where: { object: folder, expected: pointId },
    });
  }
  return repository.openDisk(point, disk);
}

function ask<T>(flags: OverlayFlags, method: 'GET' | 'DELETE', resource: string): Promise<T> {
  return callControl<T>(flags.control ?? controlSocket(), method, `/v1/overlays${resource}`);
}

function withControl(command: Command): Command {
  return withJson(command.option('--control <path>', 'control socket of the service'));
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

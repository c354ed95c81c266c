import { RestoreError } from '../../core/index.ts';
import { type NativeRepository, pointsOf, resolveAddress } from '../../store-reader/index.ts';
import type { CredentialOptions } from '../support/credentials.ts';
import { formatBytes, formatTable } from '../support/format.ts';
import { type OutputOptions, print, warn } from '../support/output.ts';
import { withRepository } from '../support/repository.ts';

interface PointEntry {
  readonly id: string;
  readonly address: string;
  readonly takenAt: string;
  readonly consistency: string;
  readonly archived: boolean;
  readonly tags: Record<string, string>;
  readonly disks: number;
  readonly sizeBytes: number;
  readonly newBytes: number;
}

interface DamagedEntry {
  readonly id: string;
  readonly address: string;
  readonly takenAt: string;
  readonly damaged: string;
}

/** What a repository holds: machines, the points of one, the disks of a point. */
export async function listRepository(
  location: string,
  address: string | undefined,
  flags: CredentialOptions & OutputOptions,
): Promise<void> {
  await withRepository(location, flags, async (repository) => {
    for (const { message } of repository.catalog.damage) warn(message);
    if (address === undefined) listMachines(repository, flags);
    else if (address.includes('@')) await listDisks(repository, address, flags);
    else await listPoints(repository, address, flags);
  });
}

function listMachines(repository: NativeRepository, flags: OutputOptions): void {
  const machines = new Map<string, { points: number; first: string; latest: string }>();
  for (const { machine, takenAt } of repository.catalog.points) {
    const known = machines.get(machine) ?? { points: 0, first: takenAt, latest: takenAt };
    machines.set(machine, { ...known, points: known.points + 1, latest: takenAt });
  }
  const result = [...machines]
    .map(([machine, figures]) => ({ machine, ...figures }))
    .sort((a, b) => (a.machine < b.machine ? -1 : 1));
  print(flags, { machines: result }, () =>
    result.length === 0
      ? 'no restore points yet\n'
      : formatTable(
          result.map(({ machine, points, first, latest }) => ({
            machine,
            points: String(points),
            first,
            latest,
          })),
        ),
  );
}

async function listPoints(
  repository: NativeRepository,
  machine: string,
  flags: OutputOptions,
): Promise<void> {
  const points: (PointEntry | DamagedEntry)[] = [];
  for (const name of pointsOf(repository.catalog, machine)) {
    const address = `${machine}@${name.takenAt}`;
    try {
      const { consistency, archived, tags, disks, statistics } = await repository.point(name);
      const { sizeBytes, newBytes } = statistics;
      const entry = { id: name.id, address, takenAt: name.takenAt, consistency, archived, tags };
      points.push({ ...entry, disks: disks.length, sizeBytes, newBytes });
    } catch (error) {
      if (!(error instanceof RestoreError)) throw error;
      points.push({ id: name.id, address, takenAt: name.takenAt, damaged: error.message });
    }
  }
  print(flags, { machine, points }, () =>
    formatTable(
      points.map((point) =>
        'damaged' in point
          ? {
              time: point.takenAt,
              id: point.id.slice(0, 8),
              state: 'DAMAGED',
              disks: '',
              size: '',
              new: '',
              notes: point.damaged,
            }
          : {
              time: point.takenAt,
              id: point.id.slice(0, 8),
              state: point.consistency,
              disks: String(point.disks),
              size: formatBytes(point.sizeBytes),
              new: formatBytes(point.newBytes),
              notes: notesOf(point),
            },
      ),
    ),
  );
}

function notesOf({ archived, tags }: { archived: boolean; tags: Record<string, string> }): string {
  const words = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  return [...(archived ? ['archived'] : []), ...words].join(' ');
}

async function listDisks(
  repository: NativeRepository,
  address: string,
  flags: OutputOptions,
): Promise<void> {
  const { point, address: parsed, disk: named } = await resolveAddress(repository, address);
  const disks = parsed.disk === undefined ? point.disks : point.disks.filter((d) => d === named);
  const base = `${point.machine}@${point.takenAt}`;
  const result = disks.map(({ id, name, sourceFormat, sizeBytes, sectorSize }) => ({
    id,
    address: `${base}/${id}`,
    name,
    sourceFormat,
    sizeBytes,
    sectorSize,
  }));
  print(flags, { point: { id: point.id, address: base }, disks: result }, () =>
    formatTable(
      result.map(({ id, sizeBytes, sectorSize, sourceFormat, name }) => ({
        disk: id,
        size: formatBytes(sizeBytes),
        sector: String(sectorSize),
        format: sourceFormat,
        name,
      })),
    ),
  );
}

import { Ranges } from '../../core/index.ts';
import {
  changedExtents,
  NativeRepository,
  type PointRecord,
  resolveAddress,
} from '../../store-reader/index.ts';
import { ChangedVolumes, compareMachines, Machine, walk } from '../../vfs/index.ts';

const CACHES = { cacheBytes: 48 * 1024 * 1024, pageCacheBytes: 16 * 1024 * 1024, threads: 0 };

/** Medians of one kind of work done again and again. */
interface Rounds {
  readonly ms: number;
  readonly cpuMs: number;
  /** Changes, or files listed. */
  readonly count: number;
}

/** @param args `diff` or `list`, the repository, both points, how many rounds. */
export async function runRounds(args: readonly string[]): Promise<Rounds> {
  const [kind, location = '', before = '', after = '', rounds = '7'] = args;
  const samples: Rounds[] = [];
  for (let round = 0; round < Number(rounds); round += 1) {
    const startedAtMs = performance.now();
    const startedCpu = process.cpuUsage();
    const count =
      kind === 'diff'
        ? await diff(location, before, after)
        : (await list(location, before)) + (await list(location, after));
    const { user, system } = process.cpuUsage(startedCpu);
    const cpuMs = (user + system) / 1000;
    samples.push({ ms: performance.now() - startedAtMs, cpuMs, count });
  }
  return {
    ms: median(samples.map(({ ms }) => ms)),
    cpuMs: median(samples.map(({ cpuMs }) => cpuMs)),
    count: samples[0]?.count ?? 0,
  };
}

async function list(location: string, address: string): Promise<number> {
  const repository = await NativeRepository.open(location, CACHES);
  const machine = await open(repository, (await resolveAddress(repository, address)).point);
  const { tree, place } = await machine.resolve({ path: '/' });
  let count = 0;
  for await (const { entries } of walk(tree, place, { attributes: true })) count += entries.length;
  await machine.close();
  await repository.close();
  return count;
}

async function diff(location: string, before: string, after: string): Promise<number> {
  const repository = await NativeRepository.open(location, CACHES);
  const { point: one } = await resolveAddress(repository, before);
  const { point: other } = await resolveAddress(repository, after);
  const machines = [await open(repository, one), await open(repository, other)] as const;
  const disks = [];
  for (const [index, disk] of other.disks.entries()) {
    const source = repository.openDisk(other, disk);
    const former = one.disks[index];
    if (former === undefined) throw new Error('the points have the same disks');
    const extents = [];
    const pair = [repository.openDisk(one, former), source] as const;
    for await (const extent of changedExtents(...pair)) extents.push(extent);
    disks.push({ id: disk.id, source, changed: Ranges.of(extents) });
  }
  const { changes } = await compareMachines({
    ...{ before: machines[0], after: machines[1], address: {} },
    changed: await ChangedVolumes.open(machines[0].volumes, machines[1].volumes, disks),
    onProblem: (error) => {
      throw error;
    },
    onRemark: (message) => {
      throw new Error(message);
    },
  });
  for (const machine of machines) await machine.close();
  await repository.close();
  return changes.length;
}

function open(repository: NativeRepository, point: PointRecord): Promise<Machine> {
  return Machine.open(
    point.disks.map((disk) => ({ id: disk.id, source: repository.openDisk(point, disk) })),
  );
}

function median(numbers: readonly number[]): number {
  const middle = numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
  return Math.round(middle as number);
}

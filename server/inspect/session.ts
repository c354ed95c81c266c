import { type Address, parseAddress, Ranges, RestoreError } from '../../core/index.ts';
import {
  type NativeRepository,
  type PointRecord,
  pointsOf,
  resolveAddress,
} from '../../store-reader/index.ts';
import {
  ChangedVolumes,
  type HistorySource,
  Machine,
  type PlaceProblem,
  type Places,
  type ResolvedPath,
  showName,
} from '../../vfs/index.ts';
import { withAdvice } from './advice.ts';
import { changedDisks, disksOf, haveSameDisks } from './point-disks.ts';
import type { Output } from './output.ts';
import type { Remarks } from './remarks.ts';

/** A machine at one point, opened for an address. */
export interface OpenPoint {
  readonly machine: Machine;
  readonly point: PointRecord;
  readonly address: Address;
  /** `web01@2026-11-03T22:00:00.000Z`. */
  readonly name: string;
}

/** What an address led to. */
export interface OpenAddress extends OpenPoint, ResolvedPath {
  /** As asked for, safe to show. */
  readonly asked: string;
}

/** What a request works with. */
export interface InspectContext {
  readonly session: InspectSession;
  readonly output: Output;
  readonly remarks: Remarks;
}

/** Machines kept open at once. */
const MACHINES_MAX = 4;

/** The repository of an inspector, and the machines in it that have been opened. */
export class InspectSession {
  readonly #repository: NativeRepository;
  readonly #machines = new Map<string, Promise<Machine>>();
  readonly #told = new Set<string>();

  constructor(repository: NativeRepository) {
    this.#repository = repository;
  }

  /** @throws RestoreError as `resolveAddress`. */
  async point(text: string): Promise<OpenPoint> {
    const address = parseAddress(text);
    if (address.point === undefined) {
      throw new RestoreError('INVALID', 'the address names no restore point', {
        where: { found: text },
        hint: `Write ${address.machine}@latest, or see \`rehydrate ls REPO ${address.machine}\`.`,
      });
    }
    // Disks and volumes are the machine's to find: a volume group stands where a disk does.
    const whole = `${address.machine}@${address.point}`;
    const { point } = await resolveAddress(this.#repository, whole);
    const machine = await this.#machine(point);
    return { machine, point, address, name: `${point.machine}@${point.takenAt}` };
  }

  /** @throws RestoreError as {@link point} and `Machine.resolve`. */
  async resolve(text: string, follow: boolean, remarks: Remarks): Promise<OpenAddress> {
    const open = await this.point(text);
    const { machine, address } = open;
    const found = await machine.resolve(address, { follow }).catch(async (error: unknown) => {
      throw await withAdvice(error, address, () => machine.places());
    });
    const { tree, problems } = await this.#placesIfUsed(open);
    if (found.tree === tree) this.#tellProblems(problems, found.place.path, open.name, remarks);
    return { ...open, ...found, asked: showName(text) };
  }

  /**
   * Where the volumes of two points may differ, by their block maps alone.
   *
   * @throws RestoreError `CORRUPT`, `IO`.
   */
  async changedVolumes(before: OpenPoint, after: OpenPoint): Promise<ChangedVolumes> {
    const changed = await changedDisks(this.#repository, before.point, after.point);
    const disks = disksOf(this.#repository, after.point).map(({ id, source }) => ({
      ...{ id, source },
      changed: changed.get(id) ?? Ranges.none,
    }));
    return await ChangedVolumes.open(before.machine.volumes, after.machine.volumes, disks);
  }

  /** All points of a machine, for a history. */
  async history(machine: string): Promise<HistorySource<PointRecord>> {
    const repository = this.#repository;
    const points: PointRecord[] = [];
    for (const name of pointsOf(repository.catalog, machine)) {
      points.push(await repository.point(name));
    }
    return {
      points,
      disksOf: async (point) => disksOf(repository, point),
      haveSameDisks: async (one, other) => haveSameDisks(one, other),
      changed: (one, other) => changedDisks(repository, one, other),
    };
  }

  /** Tells of volumes that are not clean, each state of each once. */
  tellHealth(remarks: Remarks): void {
    for (const [point, machine] of this.#opened) {
      for (const { id, fileSystem } of machine.opened) {
        const { state, findings } = fileSystem.health;
        const key = `${point} ${id} ${state}`;
        if (state === 'clean' || this.#told.has(key)) continue;
        this.#told.add(key);
        const [first] = findings;
        const more = findings.length > 1 ? ` (and ${findings.length - 1} more)` : '';
        const why = first === undefined ? '' : `: ${first.message}${more}`;
        remarks.warn(`volume ${showName(id)} (${fileSystem.type}) is ${state}${why}`);
      }
    }
  }

  async close(): Promise<void> {
    for (const machine of this.#machines.values()) await (await machine).close();
    await this.#repository.close();
  }

  readonly #opened = new Map<string, Machine>();

  /** Looking where volumes belong opens them all: only where the address needed it. */
  async #placesIfUsed({ machine, address }: OpenPoint): Promise<Partial<Places>> {
    return address.disk === undefined ? await machine.places() : {};
  }

  /** Tells why what lies at, above or below a path may be another than on the running machine. */
  #tellProblems(
    problems: readonly PlaceProblem[] = [],
    path: string,
    point: string,
    remarks: Remarks,
  ): void {
    for (const { at, message } of problems) {
      const key = `${point} ${at} ${message}`;
      if (this.#told.has(key) || !(isWithin(path, at) || isWithin(at, path))) continue;
      this.#told.add(key);
      remarks.warn(message);
    }
  }

  async #machine(point: PointRecord): Promise<Machine> {
    const known = this.#machines.get(point.id);
    if (known !== undefined) return await known;
    await this.#makeRoom();
    const opening = Machine.open(disksOf(this.#repository, point));
    this.#machines.set(point.id, opening);
    try {
      const machine = await opening;
      this.#opened.set(point.id, machine);
      return machine;
    } catch (error) {
      this.#machines.delete(point.id);
      throw error;
    }
  }

  async #makeRoom(): Promise<void> {
    for (const [id, machine] of this.#machines) {
      if (this.#machines.size < MACHINES_MAX) return;
      this.#machines.delete(id);
      this.#opened.delete(id);
      await (await machine).close();
    }
  }
}

function isWithin(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { watch, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeRepository, type OpenOptions } from '../../../store-reader/index.ts';
import { verifyRepository } from '../../../store-writer/index.ts';
import { randomBytes, seededRandom } from '../../fixtures/random.ts';
import type { Scratch } from '../../fixtures/repository.ts';
import { Cli, filesIn, sha256 } from '../command/harness.ts';

const MIB = 1024 * 1024;
export const DISK_BYTES: number = 4 * MIB;
const CHANGED_BYTES = MIB / 4;
const PACK_TIMEOUT_MS = 60_000;

/** What is waited for before the kill; a delay of chance follows. */
type Trigger = 'time' | 'claim' | 'point' | 'commit';
/** Publishing takes a few milliseconds of a capture: it gets more than its share of kills. */
const TRIGGERS: readonly Trigger[] = ['time', 'time', 'claim', 'point', 'commit'];
const FOLDER_OF = { claim: 'claims', point: 'points', commit: 'commits' } as const;

/** A repository, the disk captured into it, and what every restore point must read as. */
export class KillRepository {
  /** Kills before and after the point was published, and captures that were not killed in time. */
  readonly tally: { before: number; published: number; unharmed: number } = {
    before: 0,
    published: 0,
    unharmed: 0,
  };
  readonly #cli: Cli;
  readonly #location: string;
  readonly #disk: string;
  readonly #key: readonly string[];
  readonly #open: OpenOptions;
  readonly #seed: number;
  readonly #random: () => number;
  readonly #hashes = new Map<string, string>();
  #content: Uint8Array = new Uint8Array(0);
  #step = 0;
  #durationMs = 1_000;

  private constructor(
    cli: Cli,
    location: string,
    key: readonly string[],
    open: OpenOptions,
    seed: number,
  ) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#cli = cli;
    this.#location = location;
    this.#disk = `${location}.raw`;
    this.#key = key;
    this.#open = open;
  }

  static async create(
    folder: Scratch,
    init: readonly string[],
    open: OpenOptions,
    seed: number,
  ): Promise<KillRepository> {
    const cli = new Cli(folder);
    const location = folder.file('repository');
    const key: string[] = [];
    if (open.credential?.kind === 'key-file') {
      writeFileSync(folder.file('key'), open.credential.content);
      key.push('--key-file', folder.file('key'));
    }
    await cli.json('init', location, ...init, ...key);
    const repository = new KillRepository(cli, location, key, open, seed);
    repository.replaceDisk(DISK_BYTES);
    return repository;
  }

  /** New bytes in about a quarter of the disk. */
  changeDisk(): void {
    this.#step += 1;
    for (let part = 0; part < 4; part += 1) {
      const at = Math.floor(this.#random() * (this.#content.length - CHANGED_BYTES));
      this.#content.set(randomBytes(CHANGED_BYTES, this.#seed + this.#step * 4 + part), at);
    }
    writeFileSync(this.#disk, this.#content);
  }

  replaceDisk(sizeBytes: number): void {
    this.#step += 1;
    this.#content = randomBytes(sizeBytes, this.#seed + this.#step * 4);
    writeFileSync(this.#disk, this.#content);
  }

  async captureToTheEnd(): Promise<void> {
    const startedAt = performance.now();
    const { id } = await this.#cli.json<{ id: string }>(...this.#arguments());
    this.#durationMs = performance.now() - startedAt;
    this.#hashes.set(id, sha256(this.#content));
    await this.expectWhole();
  }

  /** @returns whether the capture was still running when it was killed. */
  async captureAndKill(trigger: Trigger | 'pack' = this.#pick(TRIGGERS)): Promise<boolean> {
    const child = this.#cli.spawn(...this.#arguments());
    const ended = once(child, 'exit');
    await Promise.race([this.#moment(trigger), ended]);
    child.kill('SIGKILL');
    await ended;
    const killed = child.signalCode === 'SIGKILL';
    if (!killed) assert.equal(child.exitCode, 0, 'a capture that was not killed');
    await this.#learnWhatWasPublished(killed);
    return killed;
  }

  /** Every block proved, and every point identical to the disk of its time. */
  async expectWhole(): Promise<{ unreferencedPacks: number }> {
    const repository = await NativeRepository.open(this.#location, {
      ...this.#open,
      checkIds: true,
    });
    try {
      const report = await verifyRepository(repository, { scope: 'all' });
      assert.deepEqual([report.clean, report.damagedDisks, report.damagedObjects], [true, [], []]);
      const found = new Map<string, string>();
      for (const name of repository.catalog.points) {
        found.set(name.id, await hashOfPoint(repository, name.id));
      }
      assert.deepEqual(found, this.#hashes);
      return report;
    } finally {
      await repository.close();
    }
  }

  /** After a successful capture: no packs, points, claims or half-written files of killed ones. */
  async expectNothingLeftOver(): Promise<void> {
    const report = await this.#cli.json<{
      clean: boolean;
      unreferencedPacks: number;
      points: number;
    }>('verify', this.#location, '--all', ...this.#key);
    const { clean, unreferencedPacks, points: pointCount } = report;
    assert.deepEqual([clean, unreferencedPacks, pointCount], [true, 0, this.#hashes.size]);
    const files = filesIn(this.#location);
    assert.deepEqual(
      files.filter((file) => /^(tmp|claims)\//.test(file)),
      [],
    );
    const points = files.filter((file) => file.startsWith('points/'));
    assert.deepEqual(points.map((file) => file.slice(-32)).sort(), [...this.#hashes.keys()].sort());
  }

  /** A capture killed in its last moment may have published: then its point must be whole. */
  async #learnWhatWasPublished(killed: boolean): Promise<void> {
    const repository = await NativeRepository.open(this.#location, this.#open);
    const fresh = repository.catalog.points.filter(({ id }) => !this.#hashes.has(id));
    await repository.close();
    assert.ok(fresh.length <= 1, 'a capture published more than one point');
    for (const { id } of fresh) this.#hashes.set(id, sha256(this.#content));
    if (!killed) this.tally.unharmed += 1;
    else if (fresh.length > 0) this.tally.published += 1;
    else this.tally.before += 1;
  }

  async #moment(trigger: Trigger | 'pack'): Promise<void> {
    if (trigger === 'time') return await sleep(this.#random() * this.#durationMs * 1.05);
    if (trigger === 'pack') return await this.#nextPack();
    await changeIn(this.#location, FOLDER_OF[trigger]);
    // Publishing is a few writes and syncs of a millisecond or so each.
    await sleep(Math.floor(this.#random() * (trigger === 'claim' ? 400 : 6)));
  }

  /** Packs appear whole, so one that is seen is one that a killed capture leaves behind. */
  async #nextPack(): Promise<void> {
    const count = (): number => filesIn(`${this.#location}/packs`).length;
    const before = count();
    const deadline = Date.now() + PACK_TIMEOUT_MS;
    while (count() === before && Date.now() < deadline) await sleep(2);
  }

  #arguments(): string[] {
    return ['capture', this.#location, this.#disk, '--machine', 'web01', ...this.#key];
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }
}

/** Waits until something appears below `folder`, at any depth. */
async function changeIn(location: string, folder: string): Promise<void> {
  const watcher = watch(location, { recursive: true });
  try {
    await new Promise<void>((resolve, reject) => {
      watcher.on('error', reject);
      watcher.on('change', (_event, file) => {
        if (String(file).startsWith(`${folder}/`)) resolve();
      });
    });
  } finally {
    watcher.close();
  }
}

async function hashOfPoint(repository: NativeRepository, id: string): Promise<string> {
  const name = repository.catalog.points.find((point) => point.id === id);
  if (name === undefined) throw new Error(`point ${id} is gone`);
  const point = await repository.point(name);
  const [disk] = point.disks;
  if (disk === undefined) throw new Error(`point ${id} has no disk`);
  const content = new Uint8Array(disk.sizeBytes);
  await repository.openDisk(point, disk).readInto(content, 0);
  return sha256(content);
}

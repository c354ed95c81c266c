/**
 * Opening a disk: from `export` to the first 4 KiB over iSCSI, whatever the disk's size and history,
 * and the memory it takes.
 *
 * `node bench/open/run.ts [--rounds N] [--increments N] [--json FILE]`
 *
 * Every round starts a fresh service for each disk, so that nothing of it is in the service's memory.
 * The initiator is the project's small test client, in this process: its own start costs nothing.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { RawClient } from '../../test/e2e/iscsi/raw-client.ts';
import { seededRandom } from '../../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../../test/fixtures/repository.ts';
import { describeMachine } from '../support/machine.ts';
import { formatSpread, ratios } from '../support/statistics.ts';
import { BenchService, type Opened, REHYDRATE } from './service.ts';
import { SyntheticDisk } from './synthetic-disk.ts';

interface Subject {
  readonly name: string;
  readonly repository: TestRepository;
  readonly disk: SyntheticDisk;
}

interface Sample {
  /** From the request to the control interface to the first 4 KiB. */
  readonly openToReadMs: number;
  /** Of that, until the service had answered. */
  readonly openMs: number;
  /** `rehydrate export` as a command, its process start included, to the first 4 KiB. */
  readonly commandToReadMs: number;
  readonly residentBefore: number;
  readonly residentOpened: number;
  /** After the random reads. */
  readonly residentRead: number;
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const SECTOR_BYTES = 512;
const READ_BYTES = 4096;
const RANDOM_READS = 1000;
/** Data in every disk alike, so that their reads cost the same. */
const DATA_EXTENTS = 64;
const CHANGED_BLOCKS = 4;
const READ_16 = 0x88;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    increments: { type: 'string', default: '365' },
    json: { type: 'string' },
  },
});

using folders = new DisposableStack();
await main();

async function main(): Promise<void> {
  const scratch = folders.use(new Scratch());
  const machine = describeMachine({});
  const increments = Number(values.increments);
  const subjects = [
    await makeSubject('1 GiB, 1 point', GIB, 0),
    await makeSubject('10 TiB sparse, 1 point', 10 * 1024 * GIB, 0),
    await makeSubject(`1 GiB, ${increments} increments`, GIB, increments),
  ];
  const samples = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round += 1) {
    const order = round % 2 === 0 ? subjects : subjects.toReversed();
    for (const subject of order) {
      samples.get(subject.name)?.push(await measure(scratch, subject, round));
    }
  }
  const results = [...samples].map(([name, own]) => ({ name, samples: own }));
  const [reference] = results;
  for (const { name, samples: own } of results) {
    const of = (pick: (sample: Sample) => number): string => formatSpread(own.map(pick), 1);
    const ratio = (pick: (sample: Sample) => number): string =>
      formatSpread(ratios(own.map(pick), (reference?.samples ?? []).map(pick)));
    console.log(
      `${name.padEnd(24)} to the first 4 KiB ${of((s) => s.openToReadMs)} ms ` +
        `(ratio ${ratio((s) => s.openToReadMs)}), of it opening ${of((s) => s.openMs)} ms; ` +
        `by command ${of((s) => s.commandToReadMs)} ms (ratio ${ratio((s) => s.commandToReadMs)})`,
    );
    console.log(
      `${''.padEnd(24)} RSS before ${of((s) => s.residentBefore / MIB)}, opened ` +
        `${of((s) => s.residentOpened / MIB)}, after ${RANDOM_READS} reads ` +
        `${of((s) => s.residentRead / MIB)} MiB`,
    );
  }
  if (values.json === undefined) return;
  writeFileSync(values.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
}

async function makeSubject(name: string, sizeBytes: number, increments: number): Promise<Subject> {
  const repository = await TestRepository.create(folders.use(new Scratch()));
  const disk = new SyntheticDisk(sizeBytes, DATA_EXTENTS);
  await repository.capture('bench', [disk]);
  const random = seededRandom(increments);
  for (let increment = 0; increment < increments; increment += 1) {
    const changed = Array.from({ length: CHANGED_BLOCKS }, () => disk.rewrite(place(disk, random)));
    await repository.capture('bench', [disk], { changed });
  }
  return { name, repository, disk };
}

async function measure(scratch: Scratch, subject: Subject, round: number): Promise<Sample> {
  const { repository, disk } = subject;
  const random = seededRandom(round + 1);
  const service = await BenchService.start(repository.location, scratch.file('control.sock'));
  try {
    const residentBefore = service.residentBytes();
    const startedAt = performance.now();
    const opened = await service.open('bench@latest');
    const openMs = performance.now() - startedAt;
    const client = await logIn(opened);
    await read(client, disk, place(disk, random));
    const openToReadMs = performance.now() - startedAt;
    const residentOpened = service.residentBytes();
    for (let count = 0; count < RANDOM_READS; count += 1) {
      const inData = count % 2 === 0;
      const anywhere = Math.floor((random() * disk.size) / READ_BYTES) * READ_BYTES;
      await read(client, disk, inData ? place(disk, random) : anywhere);
    }
    const residentRead = service.residentBytes();
    client.close();
    const commandToReadMs = await openByCommand(service, disk, random);
    return { openToReadMs, openMs, commandToReadMs, residentBefore, residentOpened, residentRead };
  } finally {
    await service.stop();
  }
}

async function openByCommand(
  { control }: BenchService,
  disk: SyntheticDisk,
  random: () => number,
): Promise<number> {
  const startedAt = performance.now();
  const args = ['export', 'bench@latest', '--iscsi', '--control', control, '--json'];
  const { stdout, status } = spawnSync(REHYDRATE, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error('export failed');
  const client = await logIn(JSON.parse(stdout) as Opened);
  await read(client, disk, place(disk, random));
  client.close();
  return performance.now() - startedAt;
}

async function logIn({ iqn, portal, chap }: Opened): Promise<RawClient> {
  const client = await RawClient.connect(Number(portal.split(':')[1]));
  await client.login({ target: iqn, chap });
  // A new session begins with a unit attention.
  await client.command([0x00, 0, 0, 0, 0, 0]);
  return client;
}

/** Reads 4 KiB and compares them with what the disk holds. */
async function read(client: RawClient, disk: SyntheticDisk, offset: number): Promise<void> {
  const cdb = Buffer.alloc(16);
  cdb[0] = READ_16;
  cdb.writeBigUInt64BE(BigInt(offset / SECTOR_BYTES), 2);
  cdb.writeUInt32BE(READ_BYTES / SECTOR_BYTES, 10);
  const { status, data } = await client.command(cdb, { readBytes: READ_BYTES });
  const expected = new Uint8Array(READ_BYTES);
  await disk.readInto(expected, offset);
  if (status !== 0 || !data.equals(expected)) throw new Error(`a wrong read at ${offset}`);
}

/** A place of 4 KiB where there is data. */
function place({ extentList }: SyntheticDisk, random: () => number): number {
  const extent = extentList[Math.floor(random() * extentList.length)];
  if (extent === undefined) throw new Error('the disk has no data');
  return extent.offset + Math.floor((random() * extent.length) / READ_BYTES) * READ_BYTES;
}

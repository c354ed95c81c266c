/**
 * Reads over iSCSI: ours against tgtd, alternately in one run, with `qemu-img bench`.
 *
 * `node bench/iscsi/run.ts [--rounds N] [--size-mib N] [--json PATH] [--only NAME,NAME]
 *  [--server 'COMMAND … FILE']`: the command prints `ServerReady` as JSON; `FILE` in it is replaced.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from '../support/machine.ts';
import { statsOf } from './process-stats.ts';
import { type RunningServer, startCommand, startTgtd } from './servers.ts';
import { type Measured, measure, WORKLOADS, type Workload } from './workloads.ts';

interface Sample extends Measured {
  readonly cpuMicrosecondsPerOperation: number;
}

interface Result {
  readonly workload: string;
  readonly ours: readonly Sample[];
  readonly tgtd: readonly Sample[];
  /** Ours divided by tgtd's, round by round. */
  readonly ratios: readonly number[];
}

const MIB = 1024 * 1024;
const OUR_SERVER = join(import.meta.dirname, 'server-ours.ts');

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    'size-mib': { type: 'string', default: '256' },
    json: { type: 'string' },
    only: { type: 'string' },
    server: { type: 'string' },
  },
});

const folder = mkdtempSync(join(tmpdir(), 'rehydrate-bench-iscsi-'));
try {
  await main(join(folder, 'disk.raw'));
} finally {
  rmSync(folder, { recursive: true });
}

async function main(path: string): Promise<void> {
  const machine = describeMachine({
    tgtd: ['tgtd', '--version'],
    qemu: ['qemu-img', '--version'],
  });
  writeFileSync(path, randomFillSync(Buffer.alloc(Number(values['size-mib']) * MIB)));
  const wanted = values.only?.split(',');
  const chosen = WORKLOADS.filter(({ name }) => wanted?.includes(name) ?? true);
  const command = values.server?.split(' ') ?? [process.execPath, OUR_SERVER, 'FILE'];
  const ours = await startCommand(command.map((word) => (word === 'FILE' ? path : word)));
  const tgtd = await startTgtd(path);
  try {
    const results: Result[] = [];
    for (const workload of chosen) {
      results.push(await compare(workload, ours, tgtd, Number(values.rounds)));
      print(results.at(-1) as Result);
    }
    const peakRssBytes = {
      ours: statsOf(ours.pid).peakRssBytes,
      tgtd: statsOf(tgtd.pid).peakRssBytes,
    };
    console.log(
      `peak RSS: ours ${mib(peakRssBytes.ours)}, tgtd ${mib(peakRssBytes.tgtd)}; ` +
        `disk ${values['size-mib']} MiB`,
    );
    if (values.json !== undefined) {
      writeFileSync(
        values.json,
        `${JSON.stringify({ machine, results, peakRssBytes }, null, 2)}\n`,
      );
    }
  } finally {
    await ours.stop();
    await tgtd.stop();
  }
}

async function compare(
  workload: Workload,
  ours: RunningServer,
  tgtd: RunningServer,
  rounds: number,
): Promise<Result> {
  const samples = { ours: [] as Sample[], tgtd: [] as Sample[] };
  // One short round first warms both, and is not counted.
  const warmUp = { ...workload, count: Math.ceil(workload.count / 10) };
  await sample(ours, warmUp);
  await sample(tgtd, warmUp);
  for (let round = 0; round < rounds; round += 1) {
    // Who goes first alternates, so that neither always meets the other's aftermath.
    const order = round % 2 === 0 ? (['ours', 'tgtd'] as const) : (['tgtd', 'ours'] as const);
    for (const who of order) samples[who].push(await sample({ ours, tgtd }[who], workload));
  }
  const ratios = samples.ours.map(
    (each, index) =>
      each.operationsPerSecond / (samples.tgtd[index]?.operationsPerSecond ?? Number.NaN),
  );
  return { workload: workload.name, ...samples, ratios };
}

async function sample(server: RunningServer, workload: Workload): Promise<Sample> {
  const before = statsOf(server.pid).cpuMicroseconds;
  const measured = await measure(server.url, workload);
  const used = statsOf(server.pid).cpuMicroseconds - before;
  const operations = workload.count * workload.clients;
  return { ...measured, cpuMicrosecondsPerOperation: used / operations };
}

function print({ workload, ours, tgtd, ratios }: Result): void {
  console.log(
    `${workload.padEnd(16)} ratio ${spread(ratios, 2)}  ` +
      `ours ${rate(ours)}  tgtd ${rate(tgtd)}  ` +
      `CPU µs/op ours ${cpu(ours)}, tgtd ${cpu(tgtd)}`,
  );
}

function rate(samples: readonly Sample[]): string {
  const operations = median(samples.map((each) => each.operationsPerSecond));
  const bytes = median(samples.map((each) => each.bytesPerSecond));
  return `${Math.round(operations)}/s ${Math.round(bytes / 1e6)} MB/s`;
}

function cpu(samples: readonly Sample[]): string {
  return spread(
    samples.map((each) => each.cpuMicrosecondsPerOperation),
    1,
  );
}

/** Median and range. */
function spread(numbers: readonly number[], digits: number): string {
  const low = Math.min(...numbers).toFixed(digits);
  const high = Math.max(...numbers).toFixed(digits);
  return `${median(numbers).toFixed(digits)} (${low}–${high})`;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}

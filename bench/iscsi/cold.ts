/**
 * Reads that find nothing decoded: ours from a zstd and an lz4 repository, beside the codec alone on
 * the same cores, qemu-nbd serving the same data from a compressed qcow2, and qemu reading that file
 * itself.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { formatSpread, ratios as divide, spreadOf } from '../support/statistics.ts';
import type { CodecAlone } from './codec-alone.ts';
import { makeFilesDisk, makeQcow2, makeRepository, startQemuNbd } from './cold-disk.ts';
import { sample, type Sample } from './compare.ts';
import { type RunningServer, startCommand } from './servers.ts';
import { measure, type Workload } from './workloads.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const BLOCK_BYTES = 64 * KIB;
/** Far apart, and prime: every block is visited once before any is visited again. */
const STEP_BLOCKS = 3001;
const CACHE_MIB = 64;
const CODEC_SECONDS = 2;
const THREADS = 2;

interface ColdWorkload extends Workload {
  readonly stepBlocks: number;
}

const COLD: readonly ColdWorkload[] = [
  {
    name: 'cold-1m-d8',
    requestBytes: MIB,
    stepBytes: MIB,
    stepBlocks: 1,
    depth: 8,
    count: 1_000,
    clients: 1,
  },
  {
    name: 'cold-4k-d32',
    requestBytes: 4 * KIB,
    stepBytes: STEP_BLOCKS * BLOCK_BYTES + 4 * KIB,
    stepBlocks: STEP_BLOCKS,
    depth: 32,
    count: 16_000,
    clients: 1,
  },
];

export interface ColdResult {
  readonly workload: string;
  readonly codec: string;
  readonly ours: readonly Sample[];
  /** The codec on two threads, and nothing else. */
  readonly codecAlone: readonly CodecAlone[];
  /** Our disk in one process, without iSCSI. */
  readonly diskAlone: readonly CodecAlone[];
  /** Blocks a second, ours over the codec's, round by round. */
  readonly ofCodec: readonly number[];
  readonly qemuNbd: readonly Sample[];
  readonly ofQemuNbd: readonly number[];
  /** Operations a second of qemu reading the qcow2 in its own process. */
  readonly qemuItself: readonly number[];
}

export interface ColdOptions {
  readonly folder: string;
  readonly sizeMib: number;
  readonly source: string;
  readonly rounds: number;
}

export async function measureCold(options: ColdOptions): Promise<ColdResult[]> {
  const { folder, sizeMib, source, rounds } = options;
  const file = path.join(folder, 'files.raw');
  await makeFilesDisk(file, sizeMib, source);
  const image = makeQcow2(folder, file);
  const nbd = await startQemuNbd(image);
  const results: ColdResult[] = [];
  try {
    for (const codec of ['zstd', 'lz4']) {
      const repository = makeRepository(folder, file, codec);
      const ours = await startCommand([
        ...[process.execPath, path.join(import.meta.dirname, 'server-rehydrate.ts')],
        ...['--repository', repository, '--cache-mib', `${CACHE_MIB}`, file],
      ]);
      try {
        for (const workload of COLD) {
          const measured = { codec, repository, ours, nbd, image };
          results.push(await measureOne(workload, measured, rounds));
          print(results.at(-1) as ColdResult);
        }
      } finally {
        await ours.stop();
      }
    }
  } finally {
    await nbd.stop();
  }
  return results;
}

interface Measured {
  readonly codec: string;
  readonly repository: string;
  readonly ours: RunningServer;
  readonly nbd: RunningServer;
  readonly image: string;
}

async function measureOne(
  workload: ColdWorkload,
  { codec, repository, ours, nbd, image }: Measured,
  rounds: number,
): Promise<ColdResult> {
  const found = {
    ours: [] as Sample[],
    codecAlone: [] as CodecAlone[],
    diskAlone: [] as CodecAlone[],
    qemuNbd: [] as Sample[],
    qemuItself: [] as number[],
  };
  // qemu-nbd needs long for scattered reads: fewer of them tell as much.
  const nbdWorkload = { ...workload, count: Math.ceil(workload.count / 8) };
  const steps = [
    async () => found.ours.push(await sample(ours, workload)),
    async () => found.codecAlone.push(codecAlone(repository, workload.stepBlocks)),
    async () => found.qemuNbd.push(await sample(nbd, nbdWorkload)),
    async () => found.diskAlone.push(codecAlone(repository, workload.stepBlocks, '--disk')),
    async () =>
      found.qemuItself.push((await measure(image, workload, 'qcow2')).operationsPerSecond),
  ];
  for (let round = 0; round < rounds; round += 1) {
    // In turn, so that none always meets the aftermath of the same other.
    for (const step of round % 2 === 0 ? steps : steps.toReversed()) await step();
  }
  const blocksPerRead = Math.max(1, workload.requestBytes / BLOCK_BYTES);
  const oursPerSecond = found.ours.map((each) => each.operationsPerSecond);
  return {
    workload: workload.name,
    codec,
    ...found,
    ofCodec: divide(
      oursPerSecond.map((each) => each * blocksPerRead),
      found.codecAlone.map((each) => each.blocksPerSecond),
    ),
    ofQemuNbd: divide(
      oursPerSecond,
      found.qemuNbd.map((each) => each.operationsPerSecond),
    ),
  };
}

function codecAlone(
  repository: string,
  stepBlocks: number,
  ...more: readonly string[]
): CodecAlone {
  const script = path.join(import.meta.dirname, 'codec-alone.ts');
  const output = execFileSync(process.execPath, [
    ...[script, repository, '--threads', `${THREADS}`, '--step-blocks', `${stepBlocks}`],
    ...['--seconds', `${CODEC_SECONDS}`, ...more],
  ]);
  return JSON.parse(output.toString()) as CodecAlone;
}

function print(result: ColdResult): void {
  const { workload, codec, ours, codecAlone: alone, diskAlone, qemuNbd, qemuItself } = result;
  const rate = (numbers: readonly number[]): string => `${Math.round(spreadOf(numbers).median)}/s`;
  const speed = (samples: readonly Sample[]): string =>
    `${rate(samples.map((each) => each.operationsPerSecond))} ` +
    `${formatSpread(
      samples.map((each) => each.cpuMicrosecondsPerOperation),
      0,
    )} µs CPU`;
  console.log(
    `${workload.padEnd(12)} ${codec.padEnd(4)} ours ${speed(ours)}  ` +
      `of codec alone ${formatSpread(result.ofCodec)}  of qemu-nbd ${formatSpread(result.ofQemuNbd)}\n` +
      `    codec alone ${rate(alone.map((each) => each.blocksPerSecond))} blocks at ` +
      `${formatSpread(
        alone.map((each) => each.cpuMicrosecondsPerBlock),
        0,
      )} µs; ` +
      `our disk alone ${rate(diskAlone.map((each) => each.blocksPerSecond))} blocks at ` +
      `${formatSpread(
        diskAlone.map((each) => each.cpuMicrosecondsPerBlock),
        0,
      )} µs; ` +
      `qemu-nbd ${speed(qemuNbd)}; qemu itself ${rate(qemuItself)}`,
  );
}

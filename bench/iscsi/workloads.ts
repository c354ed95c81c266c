import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * One pattern of reads or writes for `qemu-img bench`, which has no random mode: it adds `stepBytes` to the
 * offset each time and wraps at the disk's end. A step that is a large prime times the request
 * size visits every request-sized place, far from the one before: that is what "scattered" means.
 */
export interface Workload {
  readonly name: string;
  readonly requestBytes: number;
  readonly stepBytes: number;
  readonly depth: number;
  readonly count: number;
  /** Clients at the same time, each with this depth and count. */
  readonly clients: number;
  readonly writes?: true;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const PRIME = 10_007;

export const WORKLOADS: readonly Workload[] = [
  scattered('4k-d32', 4 * KIB, 32, 60_000),
  scattered('4k-d1', 4 * KIB, 1, 8_000),
  scattered('4k-d16-6clients', 4 * KIB, 16, 15_000, 6),
  scattered('64k-d16', 64 * KIB, 16, 12_000),
  { name: '1m-d8', requestBytes: MIB, stepBytes: MIB, depth: 8, count: 1_500, clients: 1 },
  written(scattered('4k-d32', 4 * KIB, 32, 30_000)),
  written(scattered('4k-d1', 4 * KIB, 1, 5_000)),
  written(scattered('4k-d16-6clients', 4 * KIB, 16, 8_000, 6)),
  written(scattered('64k-d16', 64 * KIB, 16, 5_000)),
  written({ name: '1m-d8', requestBytes: MIB, stepBytes: MIB, depth: 8, count: 1_000, clients: 1 }),
];

export interface Measured {
  readonly seconds: number;
  readonly operationsPerSecond: number;
  readonly bytesPerSecond: number;
}

const run = promisify(execFile);
const TIMEOUT_MS = 120_000;

/** Runs a workload against a URL, or an image that qemu reads itself. */
export async function measure(url: string, workload: Workload, format = 'raw'): Promise<Measured> {
  const { requestBytes, stepBytes, depth, count, clients, writes } = workload;
  const args = ['bench', '-f', format, '-c', `${count}`, '-d', `${depth}`];
  if (writes === true) args.push('-w', '--pattern', '165');
  args.push('-s', `${requestBytes}`, '-S', `${stepBytes}`, url);
  const outputs = await Promise.all(
    Array.from({ length: clients }, () => run('qemu-img', args, { timeout: TIMEOUT_MS })),
  );
  const seconds = Math.max(...outputs.map(({ stdout }) => secondsIn(stdout)));
  const operationsPerSecond = (count * clients) / seconds;
  return { seconds, operationsPerSecond, bytesPerSecond: operationsPerSecond * requestBytes };
}

function secondsIn(output: string): number {
  const found = /Run completed in ([0-9.]+) seconds/.exec(output)?.[1];
  if (found === undefined) throw new Error(`qemu-img bench said: ${output}`);
  return Number(found);
}

function scattered(
  name: string,
  requestBytes: number,
  depth: number,
  count: number,
  clients = 1,
): Workload {
  return { name, requestBytes, stepBytes: requestBytes * PRIME, depth, count, clients };
}

function written(workload: Workload): Workload {
  return { ...workload, name: `write-${workload.name}`, writes: true };
}

/** Ours against tgtd: one workload, round by round. */
import { formatSpread, ratios, spreadOf } from '../support/statistics.ts';
import { statsOf } from './process-stats.ts';
import type { RunningServer } from './servers.ts';
import { type Measured, measure, type Workload } from './workloads.ts';

export interface Sample extends Measured {
  readonly cpuMicrosecondsPerOperation: number;
}

export interface Comparison {
  readonly workload: string;
  readonly ours: readonly Sample[];
  readonly tgtd: readonly Sample[];
  /** Ours divided by tgtd's, round by round. */
  readonly ratios: readonly number[];
}

export interface Contenders {
  readonly ours: RunningServer;
  readonly tgtd: RunningServer;
}

export async function compare(
  workload: Workload,
  contenders: Contenders,
  rounds: number,
): Promise<Comparison> {
  const samples = { ours: [] as Sample[], tgtd: [] as Sample[] };
  // One short round first warms both, and is not counted.
  const warmUp = { ...workload, count: Math.ceil(workload.count / 10) };
  await sample(contenders.ours, warmUp);
  await sample(contenders.tgtd, warmUp);
  for (let round = 0; round < rounds; round += 1) {
    for (const who of orderOf(round)) samples[who].push(await sample(contenders[who], workload));
  }
  const rates = (who: 'ours' | 'tgtd'): number[] =>
    samples[who].map((each) => each.operationsPerSecond);
  return { workload: workload.name, ...samples, ratios: ratios(rates('ours'), rates('tgtd')) };
}

/** Who goes first alternates, so that neither always meets the other's aftermath. */
export function orderOf(round: number): readonly ('ours' | 'tgtd')[] {
  return round % 2 === 0 ? ['ours', 'tgtd'] : ['tgtd', 'ours'];
}

export async function sample(server: RunningServer, workload: Workload): Promise<Sample> {
  const before = statsOf(server.pid).cpuMicroseconds;
  const measured = await measure(server.url, workload);
  const used = statsOf(server.pid).cpuMicroseconds - before;
  const operations = workload.count * workload.clients;
  return { ...measured, cpuMicrosecondsPerOperation: used / operations };
}

export function printComparison({ workload, ours, tgtd, ratios: each }: Comparison): void {
  console.log(
    `${workload.padEnd(21)} ratio ${formatSpread(each)}  ours ${rate(ours)}  tgtd ${rate(tgtd)}  ` +
      `CPU µs/op ours ${cpu(ours)}, tgtd ${cpu(tgtd)}`,
  );
}

function rate(samples: readonly Sample[]): string {
  const operations = spreadOf(samples.map((each) => each.operationsPerSecond)).median;
  const bytes = spreadOf(samples.map((each) => each.bytesPerSecond)).median;
  return `${Math.round(operations)}/s ${Math.round(bytes / 1e6)} MB/s`;
}

function cpu(samples: readonly Sample[]): string {
  return formatSpread(
    samples.map((each) => each.cpuMicrosecondsPerOperation),
    1,
  );
}

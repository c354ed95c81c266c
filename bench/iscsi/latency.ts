/** How long single commands take, ours and tgtd's in turn. */
import { formatSpread } from '../support/statistics.ts';
import { type Contenders, orderOf } from './compare.ts';
import { timeCommands } from './timed-client.ts';
import type { Workload } from './workloads.ts';

export interface Percentiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LatencyResult {
  readonly workload: string;
  /** One item a round. */
  readonly ours: readonly Percentiles[];
  readonly tgtd: readonly Percentiles[];
}

/** Enough for a 99th percentile, few enough to be quick. */
const SHARE_OF_WORKLOAD = 10;
const MIN_COMMANDS = 500;

export async function measureLatency(
  workload: Workload,
  contenders: Contenders,
  diskBytes: number,
  rounds: number,
): Promise<LatencyResult> {
  const count = Math.max(MIN_COMMANDS, Math.ceil(workload.count / SHARE_OF_WORKLOAD));
  const short = { ...workload, count };
  const found = { ours: [] as Percentiles[], tgtd: [] as Percentiles[] };
  for (let round = 0; round < rounds; round += 1) {
    for (const who of orderOf(round)) {
      const { login } = contenders[who];
      if (login === undefined) throw new Error('latency is measured over iSCSI');
      found[who].push(percentilesOf(await timeCommands(login, short, diskBytes)));
    }
  }
  return { workload: workload.name, ...found };
}

function percentilesOf(tookMs: readonly number[]): Percentiles {
  const sorted = tookMs.toSorted((left, right) => left - right);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? Number.NaN };
}

export function printLatency({ workload, ours, tgtd }: LatencyResult): void {
  const line = (rounds: readonly Percentiles[]): string =>
    `p50 ${formatSpread(rounds.map((each) => each.p50Ms))} ` +
    `p99 ${formatSpread(rounds.map((each) => each.p99Ms))} ms`;
  console.log(`${workload.padEnd(21)} ours ${line(ours)}  tgtd ${line(tgtd)}`);
}

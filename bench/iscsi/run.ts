/**
 * Reads and writes over iSCSI: ours against tgtd and qemu-nbd, alternately in one run.
 *
 * `node bench/iscsi/run.ts [--sections cached,overlay,cold] [--rounds N] [--size-mib N] [--json PATH]
 *  [--only NAME,NAME] [--source FOLDER] [--server 'COMMAND … FILE']`: README.md tells what each is.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from '../support/machine.ts';
import { measureCold } from './cold.ts';
import { type Comparison, compare, printComparison } from './compare.ts';
import { type LatencyResult, measureLatency, printLatency } from './latency.ts';
import { statsOf } from './process-stats.ts';
import { startCommand, startTgtd } from './servers.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

const MIB = 1024 * 1024;
const OUR_SERVER = join(import.meta.dirname, 'server-rehydrate.ts');

const { values } = parseArgs({
  options: {
    sections: { type: 'string', default: 'cached,overlay,cold' },
    rounds: { type: 'string', default: '3' },
    'size-mib': { type: 'string', default: '256' },
    'cold-size-mib': { type: 'string', default: '512' },
    source: { type: 'string', default: '/usr/lib' },
    json: { type: 'string' },
    only: { type: 'string' },
    server: { type: 'string' },
  },
});
const rounds = Number(values.rounds);

interface Section {
  readonly results: readonly Comparison[];
  readonly latency: readonly LatencyResult[];
  readonly peakRssBytes: { readonly ours: number; readonly tgtd: number };
}

const folder = mkdtempSync(join(tmpdir(), 'rehydrate-bench-iscsi-'));
try {
  await main();
} finally {
  rmSync(folder, { recursive: true });
}

async function main(): Promise<void> {
  const machine = describeMachine({
    tgtd: ['tgtd', '--version'],
    qemu: ['qemu-img', '--version'],
    zstd: ['zstd', '--version'],
  });
  const wanted = values.sections.split(',');
  const only = values.only?.split(',');
  const chosen = WORKLOADS.filter(({ name }) => only?.includes(name) ?? true);
  const reads = chosen.filter(({ writes }) => writes !== true);
  const writes = chosen.filter((each) => each.writes === true);
  const cached = wanted.includes('cached') ? await againstTgtd('cached', reads) : undefined;
  const overlay = wanted.includes('overlay')
    ? await againstTgtd('overlay', writes, '--writable')
    : undefined;
  const cold = wanted.includes('cold')
    ? await measureCold({
        folder,
        sizeMib: Number(values['cold-size-mib']),
        source: values.source,
        rounds,
      })
    : undefined;
  if (values.json === undefined) return;
  const report = { machine, rounds, cached, overlay, cold };
  writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}

/** Ours from a warm cache, tgtd with the raw file from the page cache. */
async function againstTgtd(
  name: string,
  workloads: readonly Workload[],
  ...options: readonly string[]
): Promise<Section> {
  console.log(`-- ${name}`);
  const path = join(folder, `${name}.raw`);
  const diskBytes = Number(values['size-mib']) * MIB;
  writeFileSync(path, randomFillSync(Buffer.alloc(diskBytes)));
  const cacheMib = `${2 * Number(values['size-mib'])}`;
  const command = values.server?.split(' ') ?? [
    ...[process.execPath, OUR_SERVER, '--cache-mib', cacheMib, ...options, 'FILE'],
  ];
  const ours = await startCommand(command.map((word) => (word === 'FILE' ? path : word)));
  const tgtd = await startTgtd(path);
  const results: Comparison[] = [];
  const latency: LatencyResult[] = [];
  try {
    for (const workload of workloads) {
      results.push(await compare(workload, { ours, tgtd }, rounds));
      printComparison(results.at(-1) as Comparison);
      latency.push(await measureLatency(workload, { ours, tgtd }, diskBytes, rounds));
      printLatency(latency.at(-1) as LatencyResult);
    }
    const peakRssBytes = {
      ours: statsOf(ours.pid).peakRssBytes,
      tgtd: statsOf(tgtd.pid).peakRssBytes,
    };
    console.log(`peak RSS: ours ${mib(peakRssBytes.ours)}, tgtd ${mib(peakRssBytes.tgtd)}`);
    return { results, latency, peakRssBytes };
  } finally {
    await ours.stop();
    await tgtd.stop();
    rmSync(path);
  }
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}

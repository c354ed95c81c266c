/**
 * Writes to an overlay directly, without iSCSI: operations a second and CPU time for each.
 *
 * `node bench/overlay/run.ts [--seconds N] [--rounds N] [--size-mib N] [--folder PATH] [--json PATH]`
 */
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { BlockSource } from '../../core/index.ts';
import { createOverlay, type Overlay } from '../../store-writer/index.ts';
import { describeMachine } from '../support/machine.ts';
import { formatSpread } from '../support/statistics.ts';

interface Workload {
  readonly name: string;
  readonly bytes: number;
  readonly isRandom: boolean;
  /** Writes under way at once. */
  readonly depth: number;
  /** A flush after so many writes; 0 for none. */
  readonly flushEvery: number;
  /** Write over what is there already, rather than into an untouched overlay. */
  readonly isAgain: boolean;
}

const MIB = 1024 * 1024;
const SMALL = { bytes: 4096, isRandom: true, depth: 32 } as const;
const LARGE = { bytes: MIB, isRandom: false, depth: 8 } as const;
const WORKLOADS: readonly Workload[] = [
  { name: '4k random, new pages', ...SMALL, flushEvery: 0, isAgain: false },
  { name: '4k random, again', ...SMALL, flushEvery: 0, isAgain: true },
  { name: '4k random, flush/64', ...SMALL, flushEvery: 64, isAgain: false },
  { name: '1m sequential, new pages', ...LARGE, flushEvery: 0, isAgain: false },
  { name: '1m sequential, again', ...LARGE, flushEvery: 0, isAgain: true },
  { name: '1m sequential, flush/64', ...LARGE, flushEvery: 64, isAgain: false },
];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    'size-mib': { type: 'string', default: '512' },
    folder: { type: 'string', default: tmpdir() },
    json: { type: 'string' },
  },
});
const sizeBytes = Number(values['size-mib']) * MIB;

/** A disk of zeros: nothing of the base is in the figures. */
const EMPTY: BlockSource = {
  size: sizeBytes,
  sectorSize: 512,
  readInto: async (target) => {
    target.fill(0);
  },
  peek: (_, length) => new Uint8Array(length),
  close: async () => undefined,
};

interface Sample {
  readonly perSecond: number;
  readonly cpuMicroseconds: number;
}

const results: { readonly name: string; readonly samples: Sample[] }[] = [];
for (const workload of WORKLOADS) {
  const samples: Sample[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1)
    samples.push(await sample(workload));
  results.push({ name: workload.name, samples });
  const rates = formatSpread(
    samples.map(({ perSecond }) => perSecond),
    0,
  );
  const costs = formatSpread(
    samples.map(({ cpuMicroseconds }) => cpuMicroseconds),
    1,
  );
  console.log(`${workload.name.padEnd(26)} ${rates.padEnd(26)} a second   CPU µs each ${costs}`);
}
if (values.json !== undefined) {
  const report = { machine: describeMachine({}), results };
  writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}

async function sample(workload: Workload): Promise<Sample> {
  const parent = mkdtempSync(path.join(values.folder, 'rehydrate-bench-overlay-'));
  const overlay = await createOverlay({
    folder: path.join(parent, 'overlay'),
    base: EMPTY,
    meta: {
      repositoryId: 'aa'.repeat(16),
      machine: 'bench',
      pointId: 'bb'.repeat(16),
      diskId: 'disk0',
    },
    sizeLimitBytes: 2 * sizeBytes,
    freeSpaceFloorBytes: 0,
  });
  try {
    const data = randomFillSync(new Uint8Array(workload.bytes));
    if (workload.isAgain) await fill(overlay);
    return await measure(overlay, workload, data);
  } finally {
    await overlay.close();
    rmSync(parent, { recursive: true });
  }
}

async function fill(overlay: Overlay): Promise<void> {
  const data = new Uint8Array(MIB).fill(1);
  for (let offset = 0; offset < overlay.size; offset += MIB) await overlay.writeFrom(data, offset);
  await overlay.flush();
}

async function measure(overlay: Overlay, workload: Workload, data: Uint8Array): Promise<Sample> {
  const { bytes, isRandom, depth, flushEvery, isAgain } = workload;
  const places = overlay.size / bytes;
  // New pages once each: a workload that has been through the disk is over.
  const most = isAgain || isRandom ? Number.POSITIVE_INFINITY : places;
  const until = performance.now() + Number(values.seconds) * 1000;
  let done = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < until && done < most) {
      const place = isRandom ? Math.floor(Math.random() * places) : done % places;
      done += 1;
      const flushes = flushEvery > 0 && done % flushEvery === 0;
      await overlay.writeFrom(data, place * bytes);
      if (flushes) await overlay.flush();
      // As behind a socket, where others get their turn now and then.
      if (done % 64 === 0) await new Promise(setImmediate);
    }
  };
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  await Promise.all(Array.from({ length: depth }, lane));
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startMs) / 1000;
  return { perSecond: done / seconds, cpuMicroseconds: (user + system) / done };
}

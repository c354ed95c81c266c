/**
 * Capture: ours against restic and borg, alternately in one run, each with its own defaults.
 *
 * `node bench/capture/run.ts [--rounds N] [--realistic-mib N] [--incompressible-mib N]
 *  [--source FOLDER] [--skip-codecs] [--json FILE]`
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from '../support/machine.ts';
import { type Cost, folderBytes, measureCommand } from '../support/measure.ts';
import { formatSpread, ratios, spreadOf } from '../support/statistics.ts';
import { type CodecResult, measureCodecs, printCodecs } from './codecs.ts';
import { changeOnePercent, makeIncompressibleImage, makeRealisticImage, warm } from './images.ts';
import { makeTools, type Tool } from './tools.ts';

/** The state of the image at each of three captures into one repository. */
const STEPS = ['first', 'unchanged', '1 % changed'] as const;
type Step = (typeof STEPS)[number];

interface Sample extends Cost {
  readonly tool: string;
  readonly round: number;
  readonly step: Step;
  /** Of the whole repository after this step. */
  readonly repositoryBytes: number;
}

interface Comparison {
  readonly step: Step;
  readonly ours: string;
  readonly peer: string;
  /** The peer's wall time divided by ours, round by round: above 1, ours is faster. */
  readonly speedups: readonly number[];
  readonly cpuRatios: readonly number[];
  readonly sizeRatios: readonly number[];
}

interface ImageResult {
  readonly image: string;
  readonly sizeBytes: number;
  readonly samples: readonly Sample[];
  readonly comparisons: readonly Comparison[];
}

const MIB = 1024 * 1024;
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    'realistic-mib': { type: 'string', default: '3072' },
    'incompressible-mib': { type: 'string', default: '1024' },
    source: { type: 'string', default: '/usr' },
    'skip-codecs': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-bench-capture-'));
try {
  main();
} finally {
  rmSync(folder, { recursive: true });
}

function main(): void {
  const machine = describeMachine({
    restic: ['restic', 'version'],
    borg: ['borg', '--version'],
    mke2fs: ['dpkg-query', '--show', 'e2fsprogs'],
  });
  const image = path.join(folder, 'image.raw');
  const realisticMib = Number(values['realistic-mib']);
  const incompressibleMib = Number(values['incompressible-mib']);
  const images: ImageResult[] = [];
  let codecs: readonly CodecResult[] = [];
  if (realisticMib > 0) {
    makeRealisticImage(image, realisticMib, values.source);
    if (!values['skip-codecs']) {
      codecs = measureCodecs(folder, image, Number(values.rounds));
      printCodecs(codecs);
    }
    images.push(compareTools('realistic', image, realisticMib));
  }
  if (incompressibleMib > 0) {
    makeIncompressibleImage(image, incompressibleMib);
    images.push(compareTools('incompressible', image, incompressibleMib));
  }
  if (values.json === undefined) return;
  writeFileSync(values.json, `${JSON.stringify({ machine, images, codecs }, null, 2)}\n`);
}

function compareTools(name: string, image: string, sizeMib: number): ImageResult {
  const samples: Sample[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    const fresh = path.join(folder, `round${round}`);
    const tools = makeTools(fresh);
    // Who goes first changes from round to round, so that nobody always meets the same aftermath.
    const order = round % 2 === 0 ? tools : tools.toReversed();
    for (const tool of order) run(tool.init, tool);
    STEPS.forEach((step, number) => {
      if (step === '1 % changed') changeOnePercent(image, round + 1);
      warm(image);
      for (const tool of order) {
        const cost = run(tool.capture(image, number), tool);
        const repositoryBytes = folderBytes(tool.repository);
        samples.push({ tool: tool.name, round, step, ...cost, repositoryBytes });
      }
    });
    rmSync(fresh, { recursive: true });
  }
  const comparisons = compare(samples);
  const result = { image: name, sizeBytes: sizeMib * MIB, samples, comparisons };
  print(result);
  return result;
}

function run(command: readonly string[], { env }: Tool): Cost {
  return measureCommand(command, { env, report: path.join(folder, 'cost') });
}

function compare(samples: readonly Sample[]): Comparison[] {
  const pairs = [
    ['rehydrate', 'borg none'],
    ['rehydrate encrypted', 'restic'],
    ['rehydrate encrypted', 'borg repokey'],
  ] as const;
  return STEPS.flatMap((step) =>
    pairs.map(([ours, peer]) => {
      const of = (tool: string, pick: (sample: Sample) => number): number[] =>
        samples.filter((each) => each.tool === tool && each.step === step).map(pick);
      const ratio = (pick: (sample: Sample) => number): number[] =>
        ratios(of(peer, pick), of(ours, pick));
      return {
        step,
        ours,
        peer,
        speedups: ratio(({ seconds }) => seconds),
        cpuRatios: ratio(({ cpuSeconds }) => cpuSeconds),
        sizeRatios: ratio(({ repositoryBytes }) => repositoryBytes),
      };
    }),
  );
}

function print({ image, sizeBytes, samples, comparisons }: ImageResult): void {
  console.log(`\n${image} image, ${sizeBytes / MIB} MiB`);
  for (const step of STEPS) {
    const ofStep = samples.filter((sample) => sample.step === step);
    for (const tool of new Set(ofStep.map((sample) => sample.tool))) {
      const own = ofStep.filter((sample) => sample.tool === tool);
      const rates = own.map(({ seconds }) => sizeBytes / MIB / seconds);
      const { max: rss } = spreadOf(own.map(({ peakRssBytes }) => peakRssBytes / MIB));
      const { median: size } = spreadOf(own.map((each) => each.repositoryBytes / MIB));
      console.log(
        `  ${step.padEnd(12)} ${tool.padEnd(20)} ${formatSpread(rates, 0)} MiB/s  ` +
          `CPU ${formatSpread(
            own.map(({ cpuSeconds }) => cpuSeconds),
            1,
          )} s  peak RSS ${rss.toFixed(0)} MiB  repository ${size.toFixed(1)} MiB`,
      );
    }
  }
  for (const { step, ours, peer, speedups, cpuRatios, sizeRatios } of comparisons) {
    console.log(
      `  ${step.padEnd(12)} ${ours} is ${formatSpread(speedups)} times as fast as ${peer}; ` +
        `${peer} takes ${formatSpread(cpuRatios)} times its CPU, ${formatSpread(sizeRatios)} its space`,
    );
  }
}

import { rmSync } from 'node:fs';
import path from 'node:path';
import { type Cost, folderBytes, measureCommand } from '../support/measure.ts';
import { formatSpread } from '../support/statistics.ts';
import { warm } from './images.ts';

/** Ways a repository may compress, as options of `rehydrate init`. */
const CODECS = {
  'zstd 1': ['--codec', 'zstd', '--level', '1'],
  'zstd 3': ['--codec', 'zstd', '--level', '3'],
  lz4: ['--codec', 'lz4'],
  none: ['--codec', 'none'],
} as const;

export interface CodecResult {
  readonly codec: string;
  /** Size of the image divided by that of the repository. */
  readonly ratio: number;
  readonly captureMibPerSecond: readonly number[];
  /** `rehydrate restore` of the whole disk to a file. */
  readonly restoreMibPerSecond: readonly number[];
  readonly captures: readonly Cost[];
  readonly restores: readonly Cost[];
}

const REHYDRATE = path.join(import.meta.dirname, '../../bin/rehydrate');
const MIB = 1024 * 1024;

/** Captures and restores one image with every codec, the codecs alternately. */
export function measureCodecs(folder: string, image: string, rounds: number): CodecResult[] {
  const sizeMib = folderBytes(image) / MIB;
  const results = new Map<string, { ratio: number; captures: Cost[]; restores: Cost[] }>();
  for (let round = 0; round < rounds; round += 1) {
    for (const [codec, options] of Object.entries(CODECS)) {
      const result = results.get(codec) ?? { ratio: Number.NaN, captures: [], restores: [] };
      results.set(codec, result);
      const repository = path.join(folder, 'codec');
      const restored = path.join(folder, 'codec.raw');
      const env = { ...process.env, XDG_CACHE_HOME: path.join(folder, 'codec-cache') };
      const run = (...args: readonly string[]): Cost =>
        measureCommand([REHYDRATE, ...args], { env, report: path.join(folder, 'cost') });
      run('init', repository, ...options);
      warm(image);
      result.captures.push(run('capture', repository, image, '--machine', 'bench'));
      result.restores.push(run('restore', repository, 'bench@latest', restored));
      result.ratio = sizeMib / (folderBytes(repository) / MIB);
      for (const each of [repository, restored]) rmSync(each, { recursive: true });
    }
  }
  return [...results].map(([codec, result]) => ({
    codec,
    ...result,
    captureMibPerSecond: result.captures.map(({ seconds }) => sizeMib / seconds),
    restoreMibPerSecond: result.restores.map(({ seconds }) => sizeMib / seconds),
  }));
}

export function printCodecs(results: readonly CodecResult[]): void {
  console.log('codecs on the realistic image');
  for (const { codec, ratio, captureMibPerSecond, restoreMibPerSecond } of results) {
    console.log(
      `  ${codec.padEnd(8)} ${ratio.toFixed(2)}:1  ` +
        `capture ${formatSpread(captureMibPerSecond, 0)} MiB/s  ` +
        `restore ${formatSpread(restoreMibPerSecond, 0)} MiB/s`,
    );
  }
}

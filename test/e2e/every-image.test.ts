/**
 * Every image that others made, in a process as an inspector is one: it comes to an end in time and
 * within its memory, with its files, a part of them that says so, or a typed error.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Inspector, type InspectRequests } from '../../server/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool } from '../golden/image-support.ts';
import type { ImageOutcome, ImageReport } from './inspect/open-image.ts';

const IMAGES = process.env['REHYDRATE_IMAGES'] ?? path.resolve('..', 'shared', 'images');
const MANIFEST = path.join(IMAGES, 'MANIFEST.tsv');
const PROGRAM = path.join(import.meta.dirname, 'inspect/open-image.ts');
const reason = existsSync(MANIFEST)
  ? missingTool('xz', 'gzip', 'zstd', 'bzip2', 'tar')
  : 'no foreign images: set REHYDRATE_IMAGES to their folder';

const TIME_LIMIT_MS = 10_000;
const LIMITS = { memoryBytes: 512 * 1024 * 1024, silentMs: TIME_LIMIT_MS };
const UNPACKERS: Readonly<Record<string, string>> = {
  ...{ '.xz': 'xz', '.gz': 'gzip', '.zst': 'zstd', '.bz2': 'bzip2' },
};
/** Two images that need the other beside them. */
const TOGETHER: Readonly<Record<string, string>> = { 'image-differential.vhd': 'image.vhd' };

interface Row {
  readonly file: string;
  readonly format: string;
}

const rows = reason === undefined ? imageRows() : [];
const collections = [...new Set(rows.map(collectionOf))];

/** Of each collection, at the commits of the manifest. */
const OUTCOMES: Readonly<Record<string, Partial<Record<ImageOutcome, number>>>> = {
  'ColinFinck+ntfs': { read: 4 },
  'diskfs+go-diskfs': { read: 1, named: 1, refused: 3, unknown: 1 },
  'log2timeline+dfvfs': { read: 5, partial: 1, refused: 3, unknown: 1 },
  'mbroz+cryptsetup': { read: 2, named: 60, refused: 9, unknown: 93 },
  'mdbooth+libldm': { named: 19, refused: 1 },
  'msuhanov+ntfs-samples': { read: 6 },
  'nicholasbishop+ext4-view-rs': { read: 8, partial: 4, refused: 1 },
  'tytso+e2fsprogs': { read: 70, partial: 40, named: 3, refused: 14 },
  'util-linux+util-linux': { read: 34, partial: 3, named: 77, refused: 3, unknown: 21 },
};

describe(`every image${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = new Scratch();
  const folder = scratch.file('images');
  let inspector: Inspector | undefined;
  beforeAll(() => mkdirSync(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));
  afterAll(async () => {
    await inspector?.close();
    scratch[Symbol.dispose]();
  });

  it('is of a collection that is known', () => {
    expect(collections).toEqual(Object.keys(OUTCOMES));
  });

  it.each(Object.keys(OUTCOMES))('ends as it should: %s', { timeout: 900_000 }, async (name) => {
    const found: Partial<Record<ImageOutcome, number>> = {};
    const wrong: unknown[] = [];
    let slowest = { file: '', tookMs: 0 };
    // One process for all of a collection: its memory bounds that of each.
    for (const row of rows.filter((each) => collectionOf(each) === name)) {
      for (const image of await unpack(row, folder)) {
        const file = path.relative(folder, image);
        const report = await open(image);
        found[report.outcome] = (found[report.outcome] ?? 0) + 1;
        if (report.outcome === 'crashed' || report.tookMs > TIME_LIMIT_MS) {
          wrong.push({ row: row.file, file, ...report });
        }
        if (report.tookMs > slowest.tookMs) slowest = { file: row.file, tookMs: report.tookMs };
      }
      rmSync(folder, { recursive: true });
      mkdirSync(folder);
    }
    const counts = Object.entries(found).map(([outcome, count]) => `${count} ${outcome}`);
    const longest = `longest ${Math.round(slowest.tookMs)} ms, ${slowest.file}`;
    process.stdout.write(`${name}: ${counts.join(', ')}; ${longest}\n`);
    expect(wrong).toEqual([]);
    // Exact, so that whoever changes what is read sees what it does to these.
    expect(found).toEqual(OUTCOMES[name]);
  });

  async function open(image: string): Promise<ImageReport> {
    inspector ??= Inspector.start({
      ...{ repository: folder, credential: undefined, output: 'pipe' },
      ...{ program: PROGRAM, limits: LIMITS },
    });
    let report: ImageReport | undefined;
    const startedMs = performance.now();
    try {
      const body = { path: image } as unknown as InspectRequests['stat'];
      await inspector.request('stat', body, (remark) => {
        if (remark.kind === 'warning') report = JSON.parse(remark.message) as ImageReport;
      });
    } catch (error) {
      await inspector.close();
      inspector = undefined;
      const tookMs = performance.now() - startedMs;
      return { outcome: 'crashed', entries: 0, what: String(error), tookMs };
    }
    if (report === undefined) throw new Error(`no report of ${image}`);
    return report;
  }
});

/** All rows but those that only say what is expected of another. */
function imageRows(): Row[] {
  const lines = readFileSync(MANIFEST, 'utf8').trimEnd().split('\n').slice(1);
  return lines
    .map((line) => line.split('\t'))
    .map(([file = '', , , , , format = '']) => ({ file, format }))
    .filter(({ format }) => format !== 'sidecar/oracle');
}

function collectionOf({ file }: Row): string {
  return file.slice(0, file.indexOf('/'));
}

/** Unpacks an image, or all that an archive holds, into the folder. */
async function unpack({ file, format }: Row, folder: string): Promise<string[]> {
  const packed = path.join(IMAGES, file);
  if (format.startsWith('tar')) {
    await run('tar', ['-xf', packed, '-C', folder, '--no-same-owner']);
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .sort();
  }
  const extension = path.extname(file);
  const tool = UNPACKERS[extension];
  const name = path.basename(file, tool === undefined ? '' : extension);
  const target = path.join(folder, name);
  if (tool !== undefined) {
    unpackTo(tool, packed, target);
    return [target];
  }
  copyFileSync(packed, target);
  const other = TOGETHER[name];
  if (other !== undefined) {
    copyFileSync(path.join(path.dirname(packed), other), path.join(folder, other));
  }
  return [target];
}

function unpackTo(tool: string, packed: string, target: string): void {
  const output = openSync(target, 'w');
  try {
    const { status } = spawnSync(tool, ['-dcq', packed], { stdio: ['ignore', output, 'inherit'] });
    if (status !== 0) throw new Error(`${tool} cannot unpack ${packed}`);
  } finally {
    closeSync(output);
  }
}

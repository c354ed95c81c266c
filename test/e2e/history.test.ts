/** Every version of a file over the points of a machine, against what the kernel saw at each. */
import {
  appendFileSync,
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeExt, withExtMounted } from '../fixtures/file-systems/ext.ts';
import { type ListedFile, listMounted, type Listing } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { Cli, EXIT } from './command/harness.ts';

const MIB = 1024 * 1024;
const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
let missing: string | undefined;
/** What the kernel showed at each point. */
const seen: Listing[] = [];

interface JsonVersion {
  readonly from: { readonly takenAt: string };
  readonly to: { readonly takenAt: string };
  readonly points: number;
  readonly state: string;
  readonly aspects: readonly string[];
  readonly isReplaced?: true;
  readonly path?: string;
  readonly kind?: string;
  readonly size?: number;
  readonly mode?: string;
  readonly sha256?: string;
}

interface JsonHistory {
  readonly versions: readonly JsonVersion[];
  readonly points: Readonly<Record<'total' | 'same' | 'untouched' | 'looked', number>>;
}

/** What happens before each point, and whether the disk's bytes change by it. */
const STEPS: readonly ((root: string) => void)[] = [
  () => {},
  (root) => writeFileSync(path.join(root, 'other'), 'something else'),
  (root) => appendFileSync(path.join(root, 'data/file'), 'more'),
  (root) => chmodSync(path.join(root, 'data/file'), 0o600),
  (root) => renameSync(path.join(root, 'data/file'), path.join(root, 'other/../kept')),
  (root) => {
    mkdirSync(path.join(root, 'data/file'));
    writeFileSync(path.join(root, 'data/file/inner'), 'in a directory');
  },
  (root) => {
    rmSync(path.join(root, 'data/file'), { recursive: true });
    renameSync(path.join(root, 'kept'), path.join(root, 'data/file'));
  },
];

const takenAt = (index: number): string => `2026-03-01T0${index}:00:00.000Z`;

async function captureStep(image: string): Promise<void> {
  const at = takenAt(seen.length);
  await cli.json('capture', repository, '--machine', 'm', '--at', at, image);
  seen.push(await withExtMounted(image, 'loop,ro', listMounted));
}

beforeAll(async () => {
  missing = await LoopDevice.missing(scratch.file('loop'));
  if (missing !== undefined) return;
  await cli.json('init', repository);
  const image = await makeExt(scratch.path, 'volume', {
    ...{ sizeBytes: 32 * MIB, mkfs: ['-t', 'ext4'] },
    fill: (root) => {
      mkdirSync(path.join(root, 'data'));
      writeFileSync(path.join(root, 'data/file'), Buffer.alloc(100_000, 'abc'));
    },
  });
  await captureStep(image);
  for (const [index, step] of STEPS.entries()) {
    if (index > 0) await withExtMounted(image, 'loop', step);
    await captureStep(image);
  }
  // Another byte of the content, and nothing that tells of it.
  const patched = `${image}.patched`;
  copyFileSync(image, patched);
  const { stdout } = await run('debugfs', ['-R', 'bmap /data/file 3', patched]);
  const { stdout: about } = await run('dumpe2fs', ['-h', patched]);
  const blockSize = Number(/Block size:\s+(\d+)/.exec(about)?.[1]);
  const file = openSync(patched, 'r+');
  writeSync(file, Buffer.from('!'), 0, 1, Number(stdout.trim()) * blockSize + 7);
  closeSync(file);
  await captureStep(patched);
});
afterAll(() => scratch[Symbol.dispose]());

/** The file at each point, as the versions have it. */
function unfolded(versions: readonly JsonVersion[]): JsonVersion[] {
  return versions.flatMap((version) => Array.from({ length: version.points }, () => version));
}

function expectAsSeen(version: JsonVersion | undefined, file: ListedFile | undefined): void {
  const mode = file === undefined ? undefined : file.mode?.padStart(4, '0');
  const size = file?.kind === 'file' ? file.size : version?.size;
  expect({
    state: version?.state,
    kind: version?.kind,
    size: version?.size,
    mode: version?.mode,
    sha256: version?.sha256,
  }).toEqual({
    state: file === undefined ? 'absent' : 'present',
    kind: file?.kind,
    size,
    mode,
    sha256: file?.sha256,
  });
}

describe('the history of a file', () => {
  it('is a table for people', async (context) => {
    context.skip(missing !== undefined, missing);
    const { stdout } = await cli.run('history', repository, 'm:/data/file');
    const [head = '', first = ''] = stdout.toString().split('\n');
    expect(head).toMatch(/^RESTORE POINTS +# +SIZE {2}MODIFIED$/);
    expect(first.slice(0, head.indexOf('MODIFIED'))).toMatch(/ 3 +100000 {2}$/);
  });

  it('tells at each point what the kernel saw there', async (context) => {
    context.skip(missing !== undefined, missing);
    const { versions } = await cli.json<JsonHistory>(
      'history',
      repository,
      'm:/data/file',
      '--hash',
    );
    const each = unfolded(versions);
    expect(each).toHaveLength(seen.length);
    for (const [index, listing] of seen.entries()) {
      expectAsSeen(each[index], listing.get('/data/file'));
    }
    expect(versions.map(({ from, points }) => [from.takenAt, points])).toEqual([
      [takenAt(0), 3],
      [takenAt(3), 1],
      [takenAt(4), 1],
      [takenAt(5), 1],
      [takenAt(6), 1],
      [takenAt(7), 1],
      [takenAt(8), 1],
    ]);
    expect(versions.map(({ aspects }) => aspects)).toEqual([
      [],
      ['content', 'size', 'modified'],
      ['mode'],
      [],
      [],
      expect.arrayContaining(['kind']),
      ['content'],
    ]);
  });

  it('costs nothing where disks are the same', async (context) => {
    context.skip(missing !== undefined, missing);
    const { points } = await cli.json<JsonHistory>('history', repository, 'm@latest:/data/file');
    expect(points).toEqual({ total: 9, same: 1, untouched: 0, looked: 8 });
  });

  it('follows a file through its names', async (context) => {
    context.skip(missing !== undefined, missing);
    const { versions } = await cli.json<JsonHistory>(
      ...['history', repository, 'm:/data/file', '--hash', '--follow'],
    );
    const each = unfolded(versions);
    expect(each.map((version) => version.path)).toEqual([
      ...Array.from({ length: 5 }, () => '/data/file'),
      ...['/kept', '/kept', '/data/file', '/data/file'],
    ]);
    for (const [index, listing] of seen.entries()) {
      expectAsSeen(each[index], listing.get(each[index]?.path ?? ''));
    }
  });

  it('of a directory tells when the names in it changed', async (context) => {
    context.skip(missing !== undefined, missing);
    const { versions } = await cli.json<JsonHistory>('history', repository, 'm:/data');
    expect(versions.map(({ from, aspects }) => [from.takenAt, aspects])).toEqual([
      [takenAt(0), []],
      [takenAt(5), ['content']],
      [takenAt(6), ['content']],
      [takenAt(7), ['content']],
    ]);
  });

  it('is not found where no point has the file', async (context) => {
    context.skip(missing !== undefined, missing);
    const { status, stderr } = await cli.run('history', repository, 'm:/data/nothing');
    expect(status).toBe(EXIT.notFound);
    expect(stderr).toMatch(/no point of the machine has this file/);
  });
});

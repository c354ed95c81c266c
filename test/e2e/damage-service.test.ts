/**
 * Damage as people meet it: through the command, and through iSCSI with a stock initiator.
 *
 * REHYDRATE_TEST_SEED replays a run.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Extent } from '../../core/index.ts';
import type { InitOptions, VerifyReport } from '../../store-writer/index.ts';
import { seededRandom } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { Cli, chooseSeed, EXIT } from './command/harness.ts';
import { DAMAGES } from './damage/damages.ts';
import {
  BLOCK_BYTES,
  copyRepository,
  type KnownRepository,
  makeKnownRepository,
  readEverything,
} from './damage/repository.ts';

const SEED = chooseSeed();
const KEY = { kind: 'key-file', content: new Uint8Array(64).fill(9) } as const;
const KINDS: Readonly<Record<string, InitOptions>> = {
  'plain zstd': {},
  'encrypted lz4': { codec: 'lz4', credentials: [KEY] },
};
const CASES = [
  '40 bits flipped in blocks',
  '3 bits flipped in index pages',
  'a missing data pack',
  'a truncated data pack',
  'two data packs exchanged',
  'two index packs exchanged',
] as const;
const MISSING = ['qemu-img', 'qemu-io'].filter((tool) => findTool(tool) === undefined);
const CHAP = { user: 'helpdesk', secret: 'correct-horse' } as const;

describe.each(Object.entries(KINDS))(`damage met by people, %s, seed ${SEED}`, (_, options) => {
  const scratch = new Scratch();
  const cli = new Cli(scratch);
  const key: string[] = [];
  let known: KnownRepository;

  beforeAll(async () => {
    known = await makeKnownRepository(scratch, options);
    if (options.credentials === undefined) return;
    writeFileSync(scratch.file('key'), KEY.content);
    key.push('--key-file', scratch.file('key'));
  });
  afterAll(() => scratch[Symbol.dispose]());
  beforeEach((context) => {
    context.skip(MISSING.length > 0, `not installed: ${MISSING.join(', ')}`);
  });

  it.each(CASES)('%s', async (name) => {
    const location = copyRepository(known, scratch.file('copy'));
    try {
      DAMAGES.find((damage) => damage.name === name)?.apply(location, seededRandom(SEED));
      const found = await cli.run('verify', location, '--all', '--json', ...key);
      expect(found.status).toBe(EXIT.corrupt);
      const report = JSON.parse(found.stdout.toString()) as VerifyReport;
      const unreadable = await readEverything(location, known);
      expect(report.damagedDisks).toHaveLength(unreadable.length);
      for (const { pointId, disk, ranges } of unreadable) {
        expect(report.damagedDisks).toContainEqual(
          expect.objectContaining({ pointId, disk, ranges }),
        );
      }
      const [first] = unreadable;
      if (first?.disk === undefined) throw new Error('nothing became unreadable');
      const disk: AffectedDisk = { ...first, disk: first.disk, content: contentOf(first, known) };
      await expectCommandTells(location, disk);
      await expectInitiatorSees(location, disk);
    } finally {
      rmSync(location, { recursive: true });
    }
  });

  async function expectCommandTells(location: string, disk: AffectedDisk): Promise<void> {
    const address = addressOf(disk, known);
    const read = (at: Extent): ReturnType<Cli['run']> =>
      cli.run(
        'read',
        location,
        address,
        '--offset',
        `${at.offset}`,
        '--length',
        `${at.length}`,
        ...key,
      );
    const [bad] = disk.ranges;
    if (bad === undefined) throw new Error('no damaged range');
    const failed = await read({ offset: bad.offset, length: 512 });
    expect(failed).toMatchObject({ status: EXIT.corrupt });
    expect(failed.stdout).toHaveLength(0);
    expect(failed.stderr).toContain(timeAddressOf(disk, known));
    for (const good of readableRanges(disk).slice(0, 1)) {
      const { status, stdout } = await read(good);
      expect(status).toBe(EXIT.ok);
      expect(stdout.equals(part(disk.content, good))).toBe(true);
    }
    const target = scratch.file('restored.raw');
    const restored = await cli.run('restore', location, address, target, ...key);
    expect(restored.status).toBe(EXIT.corrupt);
    expect(() => readFileSync(target)).toThrow(/ENOENT/);
  }

  async function expectInitiatorSees(location: string, disk: AffectedDisk): Promise<void> {
    const control = scratch.file('control.sock');
    const service = await cli.serve(location, control, ...key);
    try {
      const { iqn, portal } = await cli.json<{ iqn: string; portal: string }>(
        ...['export', addressOf(disk, known), '--iscsi', '--control', control],
        ...['--chap-user', CHAP.user, '--chap-secret', CHAP.secret],
      );
      const url = `iscsi://${CHAP.user}%${CHAP.secret}@${portal}/${iqn}/0`;
      const [bad] = disk.ranges;
      const one = await run('qemu-io', ['-r', '-f', 'raw', '-c', `read ${bad?.offset} 512`, url], {
        accept: [1],
      });
      // Sense key 3 is MEDIUM ERROR, 11/00 UNRECOVERED READ ERROR (SPC-4 tables 28 and D.1).
      expect(one.stderr).toMatch(
        new RegExp(
          `failed at lba ${(bad?.offset ?? 0) / 512}: SENSE KEY:.*\\(3\\) ASCQ:.*\\(0x1100\\)`,
        ),
      );
      // Reads what it can, block by block, and leaves zeros where it cannot.
      const salvaged = scratch.file('salvaged.raw');
      await run('qemu-img', ['convert', '--salvage', '-f', 'raw', '-O', 'raw', url, salvaged]);
      const got = readFileSync(salvaged);
      for (const good of readableRanges(disk)) {
        expect(part(got, good).equals(part(disk.content, good)), `at ${good.offset}`).toBe(true);
      }
      for (const { offset, length } of disk.ranges) {
        expect(got.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
      }
    } finally {
      expect(await service.stop()).toBe(EXIT.ok);
    }
  }
});

describe('a wrong key', () => {
  const scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  afterAll(() => scratch[Symbol.dispose]());

  it('is said to be one, and opens nothing', async () => {
    writeFileSync(scratch.file('right'), 'correct horse battery\n');
    writeFileSync(scratch.file('wrong'), 'correct horse batterz\n');
    writeFileSync(scratch.file('disk.raw'), Buffer.alloc(BLOCK_BYTES, 'data'));
    const right = ['--passphrase-file', scratch.file('right')];
    await cli.json('init', repository, '--encrypt', ...right);
    await cli.json('capture', repository, scratch.file('disk.raw'), '--machine', 'web01', ...right);
    const attempts = [
      ['--passphrase-file', scratch.file('wrong')],
      ['--key-file', scratch.file('right')],
      [],
    ];
    for (const key of attempts) {
      for (const command of ['ls', 'verify', 'info']) {
        const { status, error } = await cli.failure(command, repository, ...key);
        expect(status).toBe(EXIT.wrongKey);
        expect(error.code).toBe('WRONG_KEY');
        expect(error.hint).toContain('--passphrase-file');
      }
    }
    const serve = await cli.failure('serve', repository, '--control', scratch.file('socket'));
    expect(serve.status).toBe(EXIT.wrongKey);
    // The passphrase may come from the environment too; nothing of it is shown.
    const byEnvironment = new Cli(scratch, { REHYDRATE_PASSPHRASE: 'correct horse battery' });
    const { status, stdout, stderr } = await byEnvironment.run('ls', repository);
    expect(status).toBe(EXIT.ok);
    expect(stdout.toString()).toContain('web01');
    expect(stdout.toString() + stderr).not.toContain('battery');
  });
});

interface AffectedDisk {
  readonly pointId: string;
  readonly disk: string;
  readonly ranges: readonly Extent[];
  readonly content: Uint8Array;
}

function addressOf({ pointId, disk }: AffectedDisk, known: KnownRepository): string {
  const point = known.points.find(({ id }) => id === pointId);
  return `${point?.machine}@${pointId}/${disk}`;
}

function timeAddressOf({ pointId, disk }: AffectedDisk, known: KnownRepository): string {
  const point = known.points.find(({ id }) => id === pointId);
  return `${point?.machine}@${point?.takenAt}/${disk}`;
}

function contentOf(
  { pointId, disk }: { pointId: string; disk: string | undefined },
  known: KnownRepository,
): Uint8Array {
  const content = known.content.get(`${pointId}/${disk}`);
  if (content === undefined) throw new Error('an unknown disk');
  return content;
}

function readableRanges({ ranges, content }: AffectedDisk): Extent[] {
  const between: Extent[] = [];
  let at = 0;
  for (const { offset, length } of [...ranges, { offset: content.byteLength, length: 0 }]) {
    if (offset > at) between.push({ offset: at, length: offset - at });
    at = offset + length;
  }
  return between;
}

function part(content: Uint8Array, { offset, length }: Extent): Buffer {
  return Buffer.from(content.buffer, content.byteOffset + offset, length);
}

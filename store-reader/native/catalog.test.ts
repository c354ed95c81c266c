import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Scratch } from '../../test/fixtures/repository.ts';
import { DirectoryBackend } from '../backends/directory.ts';
import { type Catalog, encodeCommit, loadCatalog } from './catalog.ts';
import { KeyRing } from './keys.ts';
import type { CommitRecord, PointName } from './records.ts';

const AT = '2026-01-01T00:00:00.000Z';
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const hex = (number: number): string => number.toString(16).padStart(32, '0');
const ids = ({ points }: Catalog): number[] => points.map(({ id }) => Number.parseInt(id, 16));
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

function pointOf(number: number): PointName {
  const takenAt = new Date(Date.parse(AT) + number * 1000).toISOString();
  return { id: hex(number), machine: 'm', takenAt, sha256: hex(number).repeat(2) };
}

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
  mkdirSync(scratch.file('commits'));
});
afterEach(() => scratch[Symbol.dispose]());

const fileOf = (number: number | string): string =>
  path.join(scratch.file('commits'), String(number).padStart(12, '0'));

async function load(keys?: KeyRing): Promise<Catalog> {
  const backend = new DirectoryBackend(scratch.path);
  try {
    return await loadCatalog(backend, keys);
  } finally {
    await backend.close();
  }
}

/** Commits 1 to `last`; commit n adds point n, and every 64th carries a checkpoint. */
function writeChain(last: number, keys?: KeyRing, drops: Record<number, number[]> = {}): void {
  let previous: string | undefined;
  let alive: PointName[] = [];
  for (const number of upTo(last)) {
    const drop = (drops[number] ?? []).map(hex);
    alive = [...alive, pointOf(number)].filter(({ id }) => !drop.includes(id));
    const record: CommitRecord = {
      format: 1,
      number,
      at: AT,
      ...(previous === undefined ? {} : { previous }),
      add: [pointOf(number)],
      drop,
      ...(number % 64 === 0 ? { checkpoint: alive } : {}),
    };
    const bytes = encodeCommit(record, keys);
    previous = sha256(bytes);
    writeFileSync(fileOf(number), bytes);
  }
}

function damage(number: number): void {
  const bytes = readFileSync(fileOf(number));
  bytes[40] = (bytes[40] as number) ^ 1;
  writeFileSync(fileOf(number), bytes);
}

describe('the catalog of restore points', () => {
  it('is empty where there are no commits', async () => {
    expect(await load()).toEqual({
      points: [],
      lastNumber: 0,
      lastSha256: undefined,
      damage: [],
    });
  });

  for (const [kind, makeKeys] of [
    ['plain', () => undefined],
    ['encrypted', () => new KeyRing(KeyRing.generateMaster(), hex(7))],
  ] as const) {
    it(`lists what commits add and not what they drop (${kind})`, async () => {
      const keys = makeKeys();
      writeChain(5, keys, { 4: [2], 5: [1] });
      const catalog = await load(keys);
      expect(ids(catalog)).toEqual([3, 4, 5]);
      expect(catalog.damage).toEqual([]);
      expect(catalog.lastSha256).toBe(sha256(readFileSync(fileOf(5))));
    });
  }

  it('needs nothing from before the last checkpoint', async () => {
    writeChain(130, undefined, { 70: [3] });
    const whole = await load();
    for (const number of upTo(127)) unlinkSync(fileOf(number));
    expect(await load()).toEqual(whole);
    expect(ids(whole)).toEqual(upTo(130).filter((number) => number !== 3));
    expect(whole.damage).toEqual([]);
  });

  it('falls back on the commits before a checkpoint that is damaged, and says so', async () => {
    writeChain(130);
    damage(128);
    const catalog = await load();
    // What commit 128 alone added cannot be known; all else is.
    expect(ids(catalog)).toEqual(upTo(130).filter((number) => number !== 128));
    expect(catalog.damage.map(({ code, where }) => [code, where.object])).toEqual([
      ['CORRUPT', 'commits/000000000128'],
    ]);
  });

  it('names a damaged commit and shows what the others add', async () => {
    writeChain(5);
    damage(2);
    const catalog = await load();
    expect(ids(catalog)).toEqual([1, 3, 4, 5]);
    expect(catalog.damage).toMatchObject([
      { code: 'CORRUPT', where: { object: 'commits/000000000002' } },
    ]);
  });

  it('names a missing commit', async () => {
    writeChain(5);
    unlinkSync(fileOf(3));
    const catalog = await load();
    expect(ids(catalog)).toEqual([1, 2, 4, 5]);
    expect(catalog.damage).toMatchObject([
      { code: 'CORRUPT', where: { object: 'commits/000000000003' } },
    ]);
  });

  it('notices that two commits were exchanged', async () => {
    writeChain(5);
    const [second, third] = [readFileSync(fileOf(2)), readFileSync(fileOf(3))];
    writeFileSync(fileOf(2), third);
    writeFileSync(fileOf(3), second);
    const catalog = await load();
    expect(ids(catalog)).toEqual([1, 4, 5]);
    expect(catalog.damage.map(({ where }) => where.object)).toEqual(
      expect.arrayContaining(['commits/000000000002', 'commits/000000000003']),
    );
  });

  it('notices that a commit was put back to another that is sound in itself', async () => {
    writeChain(5);
    const record = { format: 1 as const, number: 2, at: AT, add: [pointOf(99)], drop: [] };
    const previous = sha256(readFileSync(fileOf(1)));
    writeFileSync(fileOf(2), encodeCommit({ ...record, previous }, undefined));
    const catalog = await load();
    expect(catalog.damage).toMatchObject([
      { code: 'CORRUPT', where: { object: 'commits/000000000003', structure: 'previous commit' } },
    ]);
  });

  it('notices a commit of another number under a name', async () => {
    writeChain(2);
    const wrong = encodeCommit(
      { format: 1, number: 3, at: AT, add: [], drop: [], previous: hex(0).repeat(2) },
      undefined,
    );
    writeFileSync(fileOf(2), wrong);
    expect((await load()).damage).toMatchObject([{ where: { object: 'commits/000000000002' } }]);
  });

  it('leaves files alone that are no commits', async () => {
    writeChain(2);
    for (const name of ['README', '3', '0000000000003', '00000000000x', '.000000000003.swp']) {
      writeFileSync(path.join(scratch.file('commits'), name), 'x');
    }
    const catalog = await load();
    expect([ids(catalog), catalog.lastNumber, catalog.damage]).toEqual([[1, 2], 2, []]);
  });

  it('takes bounded time over a file that claims an absurd number', { timeout: 5000 }, async () => {
    writeChain(3);
    writeFileSync(fileOf('999999999999'), 'x');
    const catalog = await load();
    expect(ids(catalog)).toEqual([1, 2, 3]);
    expect(catalog.damage.length).toBeGreaterThan(0);
    expect(catalog.damage.length).toBeLessThan(10);
  });
});

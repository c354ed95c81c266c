import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BytesSource, type ErrorCode, isRestoreError } from '../core/index.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import { NativeRepository } from './native/repository.ts';
import { pointsOf, resolveAddress, resolveDisk } from './resolve.ts';

const TIMES = [
  '2026-10-31T22:00:00.000Z',
  '2026-11-01T22:00:00.000Z',
  '2026-11-02T06:00:00.000Z',
  '2026-11-02T22:00:00.000Z',
];

let scratch: Scratch;
let made: TestRepository;
let repository: NativeRepository;
const ids: string[] = [];
beforeAll(async () => {
  scratch = new Scratch();
  made = await TestRepository.create(scratch);
  // Captured out of order: time decides, not the order of commits.
  for (const at of [1, 0, 3, 2]) {
    const takenAt = new Date(TIMES[at] as string);
    const disks = [1, 2].map((seed) => new BytesSource(randomBytes(512, seed)));
    ids[at] = (await made.capture('web01', disks, { takenAt })).point.id;
  }
  await made.capture('sql02', [new BytesSource(randomBytes(512, 3))]);
  repository = await NativeRepository.open(made.location);
});
afterAll(async () => {
  await repository.close();
  scratch[Symbol.dispose]();
});

const takenAt = async (address: string): Promise<string> =>
  (await resolveAddress(repository, address)).point.takenAt;

async function failure(address: string): Promise<{ code: ErrorCode; text: string }> {
  try {
    await resolveDisk(repository, address);
  } catch (error) {
    if (isRestoreError(error)) {
      return { code: error.code, text: `${error.message}\n${error.hint}` };
    }
    throw error;
  }
  throw new Error(`${address} was resolved`);
}

describe('an address', () => {
  it('names the newest point by its time, not the one captured last', async () => {
    expect(await takenAt('web01@latest')).toBe(TIMES[3]);
    expect(pointsOf(repository.catalog, 'web01').map((point) => point.takenAt)).toEqual(TIMES);
  });

  it.each([
    ['web01@2026-10', TIMES[0]],
    ['web01@2026-11-01', TIMES[1]],
    ['web01@2026-11-02T06', TIMES[2]],
    ['web01@2026-11-02t22:00', TIMES[3]],
    ['web01@2026-11-02T22:00:00Z', TIMES[3]],
    ['web01@2026-11-02T23:00:00+01:00', TIMES[3]],
    ['web01@2026-11-02T22:00:00.000Z', TIMES[3]],
  ])('%s means the point of %s', async (address, expected) => {
    expect(await takenAt(address)).toBe(expected);
  });

  it('names a point by its id, or by as much of it as is one point’s alone', async () => {
    for (const [index, id] of ids.entries()) {
      expect(await takenAt(`web01@${id}`)).toBe(TIMES[index]);
      expect(await takenAt(`web01@${id.toUpperCase()}`)).toBe(TIMES[index]);
      expect(await takenAt(`web01@${id.slice(0, 16)}`)).toBe(TIMES[index]);
    }
    expect((await failure(`web01@${'f'.repeat(33)}`)).code).toBe('NOT_FOUND');
    expect((await failure(`sql02@${ids[0]}`)).code).toBe('NOT_FOUND');
  });

  it('refuses what could be two points, and lists them', async () => {
    const { code, text } = await failure('web01@2026-11-02/disk0');
    expect(code).toBe('INVALID');
    expect(text).toContain(TIMES[2]);
    expect(text).toContain(TIMES[3]);
    expect(text).not.toContain(TIMES[1]);
  });

  it('names the nearest machine, point and disk where there is none', async () => {
    expect(await failure('wbe01@latest/disk0')).toMatchObject({
      code: 'NOT_FOUND',
      text: expect.stringContaining('web01'),
    });
    expect(await failure('web01@2026-12-02/disk0')).toMatchObject({
      code: 'NOT_FOUND',
      text: expect.stringContaining('2026-1'),
    });
    expect(await failure('web01@latest/disk7')).toMatchObject({
      code: 'NOT_FOUND',
      text: expect.stringContaining('disk0'),
    });
  });

  it('asks which disk where there are several, and takes the only one', async () => {
    expect(await failure('web01@latest')).toMatchObject({
      code: 'INVALID',
      text: expect.stringContaining('disk0, disk1'),
    });
    expect((await resolveDisk(repository, 'sql02@latest')).disk.id).toBe('disk0');
    expect((await resolveDisk(repository, 'web01@latest/disk1')).disk.id).toBe('disk1');
    expect((await resolveAddress(repository, 'web01@latest')).disk).toBeUndefined();
  });

  it('says how to begin in an empty repository', async () => {
    const empty = await TestRepository.create({
      file: (name: string) => scratch.file(`empty-${name}`),
    } as Scratch);
    const open = await NativeRepository.open(empty.location);
    await expect(resolveAddress(open, 'm@latest')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      hint: expect.stringContaining('rehydrate capture'),
    });
    await open.close();
  });
});

describe('a restore point’s object', () => {
  it('is CORRUPT when it is missing or changed, and the other points open', async () => {
    const id = ids[0] as string;
    const file = `${made.location}/points/${id.slice(0, 2)}/${id}`;
    const sound = readFileSync(file);
    const damaged = Buffer.from(sound);
    damaged[60] = (damaged[60] as number) ^ 1;
    for (const change of [
      () => rmSync(file),
      () => writeFileSync(file, damaged),
      () => writeFileSync(file, ''),
      () => writeFileSync(file, sound.subarray(0, -1)),
    ]) {
      change();
      expect((await failure('web01@2026-10/disk0')).code).toBe('CORRUPT');
      expect(await takenAt('web01@2026-11-01')).toBe(TIMES[1]);
      writeFileSync(file, sound);
    }
    expect(await takenAt('web01@2026-10')).toBe(TIMES[0]);
  });
});

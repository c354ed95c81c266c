import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, readBytes } from '../core/index.ts';
import { NativeRepository, resolveDisk } from '../store-reader/index.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import { verifyRepository } from './index.ts';

const BLOCK = 65_536;
const CONTENT = randomBytes(40 * BLOCK, 1);

let scratch: Scratch;
let made: TestRepository;
beforeEach(async () => {
  scratch = new Scratch();
  made = await TestRepository.create(scratch);
});
afterEach(() => scratch[Symbol.dispose]());

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

const dataPack = (): string =>
  filesUnder(path.join(made.location, 'packs')).toSorted(
    (a, b) => statSync(b).size - statSync(a).size,
  )[0] as string;

/** Bytes that a capture of the content as another machine has to store anew. */
async function storedAnew(machine: string, content = CONTENT, cache?: string): Promise<number> {
  const more = cache === undefined ? {} : { cache };
  const { statistics } = await made.capture(machine, [new BytesSource(content)], more);
  return statistics.newBytes;
}

async function expectSound(machine: string, content = CONTENT): Promise<void> {
  const repository = await NativeRepository.open(made.location);
  try {
    const { point, disk } = await resolveDisk(repository, `${machine}@latest`);
    const bytes = await readBytes(repository.openDisk(point, disk), 0, content.length);
    expect(Buffer.compare(bytes, content)).toBe(0);
  } finally {
    await repository.close();
  }
}

describe('the local index', () => {
  it('finds blocks of other machines', async () => {
    expect(await storedAnew('a')).toBe(CONTENT.length);
    expect(await storedAnew('b')).toBe(0);
    await expectSound('b');
  });

  it('is made anew from the packs when it is lost', async () => {
    await storedAnew('a');
    rmSync(made.cache, { recursive: true });
    expect(await storedAnew('b')).toBe(0);
    await expectSound('b');
  });

  it('takes in what was captured with another cache', async () => {
    await storedAnew('a', CONTENT, scratch.file('other-cache'));
    expect(await storedAnew('b')).toBe(0);
  });

  it('leaves the index of another version alone and makes its own', async () => {
    await storedAnew('a');
    const [own = ''] = filesUnder(made.cache).filter((file) => file.endsWith('.sqlite'));
    const later = own.replace(/-\d+\.sqlite$/, '-999.sqlite');
    writeFileSync(later, 'of a later version');
    rmSync(own);
    expect(await storedAnew('b')).toBe(0);
    expect(existsSync(own)).toBe(true);
    expect(readFileSync(later, 'utf8')).toBe('of a later version');
  });

  it('is not believed about a pack that is gone', async () => {
    await storedAnew('a');
    rmSync(dataPack());
    expect(await storedAnew('b')).toBe(CONTENT.length);
    await expectSound('b');
  });

  it('that lies about places never makes a point that reads wrong', async () => {
    await storedAnew('a');
    const [own = ''] = filesUnder(made.cache).filter((file) => file.endsWith('.sqlite'));
    const database = new DatabaseSync(own);
    database.exec('UPDATE blocks SET offset = offset + 4');
    database.close();
    await storedAnew('b');
    await expect(expectSound('b')).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it.each([
    ['is no database', () => 0],
    ['is damaged further in', () => 4096],
  ])('is made anew, or done without, when it %s', async (_, from) => {
    await storedAnew('a');
    const [own = ''] = filesUnder(made.cache).filter((file) => file.endsWith('.sqlite'));
    const bytes = readFileSync(own);
    expect(bytes.length).toBeGreaterThan(from());
    writeFileSync(own, bytes.fill(0x55, from()));
    for (const file of filesUnder(made.cache)) if (file !== own) rmSync(file);
    await storedAnew('b');
    await expectSound('b');
    await storedAnew('c');
    await expectSound('c');
  });

  it('serves captures that run at the same time', async () => {
    const machines = ['a', 'b', 'c', 'd'];
    await Promise.all(machines.map((machine) => storedAnew(machine)));
    for (const machine of machines) await expectSound(machine);
    expect(await storedAnew('e')).toBe(0);
  });
});

describe('a lost pack', () => {
  it('is stored again by the next capture of its machine, and old points heal with none', async () => {
    await storedAnew('a');
    const lost = dataPack();
    rmSync(lost);
    const changed = CONTENT.slice();
    changed.fill(7, 0, BLOCK);
    expect(await storedAnew('a', changed)).toBe(CONTENT.length);
    await expectSound('a', changed);
    const repository = await NativeRepository.open(made.location);
    const report = await verifyRepository(repository, { scope: 'all' });
    await repository.close();
    // The older point is still short of its pack, and alone in that.
    expect(report.damagedDisks.map(({ ranges }) => ranges)).toEqual([
      [{ offset: 0, length: CONTENT.length }],
    ]);
    expect(report.damagedObjects.map(({ object }) => object)).toEqual([
      expect.stringContaining(path.basename(lost)),
    ]);
  });

  it('of index pages is stored again too', async () => {
    await storedAnew('a');
    const packs = filesUnder(path.join(made.location, 'packs'));
    for (const pack of packs.filter((file) => readFileSync(file)[40] === 2)) rmSync(pack);
    await storedAnew('a');
    await expectSound('a');
  });
});

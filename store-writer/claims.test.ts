import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError, readBytes } from '../core/index.ts';
import {
  DirectoryBackend,
  NativeRepository,
  packObject,
  pointObject,
  resolveDisk,
} from '../store-reader/index.ts';
import { randomBytes } from '../test/fixtures/random.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import { checkPacksOf, type Claim, cleanUpAfterTheDead } from './claims.ts';

const TAG = 'deadbeef';
const POINT = 'ab'.repeat(16);
/** Two packs of the capture under test: time, its tag, chance. */
const PACKS = ['00000000000000000001', '0000000000000000ff00'].map(
  (rest) => `019a00000000${TAG}${rest.slice(-12)}`,
);
const CONTENT = randomBytes(200_000, 1);

/** proc(5): no process has this number, by default above every pid_max. */
const NO_PROCESS = 2 ** 22 + 1;
const startOf = (processId: number): string =>
  readFileSync(`/proc/${processId}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? '';

const HERE: Claim = {
  pointId: POINT,
  captureTag: TAG,
  host: hostname(),
  installation: existsSync('/etc/machine-id') ? readFileSync('/etc/machine-id', 'utf8').trim() : '',
  boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  namespace: readlinkSync('/proc/self/ns/pid'),
  processId: process.pid,
  startedAt: startOf(process.pid),
};
const DEAD: Claim = { ...HERE, processId: NO_PROCESS, startedAt: '1' };

let scratch: Scratch;
let made: TestRepository;
beforeEach(async () => {
  scratch = new Scratch();
  made = await TestRepository.create(scratch);
  await made.capture('m', [new BytesSource(CONTENT)]);
});
afterEach(() => scratch[Symbol.dispose]());

function put(object: string, content: string): void {
  const file = path.join(made.location, object);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** What a capture leaves that was killed before it published. */
function leaveBehind(claim: object): void {
  for (const pack of PACKS) put(packObject(pack), 'half a pack');
  put(pointObject(POINT), 'a point that no commit names');
  put(`claims/${POINT}`, JSON.stringify(claim));
}

function objects(prefix: string): string[] {
  return readdirSync(path.join(made.location, prefix), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();
}

async function cleanUp(): Promise<number> {
  const repository = await NativeRepository.open(made.location);
  try {
    return await cleanUpAfterTheDead(repository);
  } finally {
    await repository.close();
  }
}

async function expectReadable(): Promise<void> {
  const repository = await NativeRepository.open(made.location);
  const { point, disk } = await resolveDisk(repository, 'm@latest');
  const bytes = await readBytes(repository.openDisk(point, disk), 0, CONTENT.length);
  expect(Buffer.compare(bytes, CONTENT)).toBe(0);
  await repository.close();
}

describe('what a dead capture left', () => {
  it('goes away, and nothing else does', async () => {
    const before = [objects('packs'), objects('points')];
    leaveBehind(DEAD);
    expect(await cleanUp()).toBe(2);
    expect([objects('packs'), objects('points')]).toEqual(before);
    expect(objects('claims')).toEqual([]);
    await expectReadable();
  });

  it.each([
    ['of a process number that another process has now', { ...DEAD, processId: process.ppid }],
    ['of before the last boot', { ...HERE, boot: '00000000-0000-0000-0000-000000000000' }],
  ])('goes away when the claim is %s', async (_, claim) => {
    leaveBehind(claim);
    expect(await cleanUp()).toBe(2);
    expect(objects('claims')).toEqual([]);
  });

  it('goes away before the next capture, whose own it leaves alone', async () => {
    leaveBehind(DEAD);
    await made.capture('other', [new BytesSource(randomBytes(100_000, 2))]);
    expect(objects('packs').filter((pack) => pack.includes(TAG))).toEqual([]);
    expect(objects('claims')).toEqual([]);
    await expectReadable();
  });
});

describe('a claim that cannot be judged', () => {
  it.each([
    ['a living process', HERE],
    ['another host', { ...DEAD, host: 'elsewhere' }],
    ['another machine of the same name', { ...DEAD, installation: 'other', boot: 'other' }],
    ['another host and boot', { ...DEAD, host: 'elsewhere', boot: 'other' }],
    ['another process namespace', { ...DEAD, namespace: 'pid:[1]' }],
    ['a later version', { some: 'thing' }],
    ['nothing at all', ''],
  ])('keeps everything: of %s', async (_, claim) => {
    leaveBehind(claim as object);
    const before = [objects('packs'), objects('points'), objects('claims')];
    expect(await cleanUp()).toBe(0);
    expect([objects('packs'), objects('points'), objects('claims')]).toEqual(before);
  });

  it('keeps everything: not even JSON, or of another shape', async () => {
    for (const text of ['{', '', '\0\0', '[]', '{"pointId":"../../etc"}']) {
      leaveBehind(DEAD);
      put(`claims/${POINT}`, text);
      expect(await cleanUp()).toBe(0);
      expect(objects('packs').filter((pack) => pack.includes(TAG))).toHaveLength(2);
    }
  });
});

describe('packs that a point lists', () => {
  /** The claim of the capture that made the point, as if it had died after its commit. */
  async function claimOfPublished(pointId: string): Promise<Claim> {
    const [pack = ''] = objects('packs');
    return { ...DEAD, pointId, captureTag: pack.slice(12, 20) };
  }

  it('stay when their own capture died after its commit, and only the claim goes', async () => {
    const repository = await NativeRepository.open(made.location);
    const id = repository.catalog.points[0]?.id as string;
    await repository.close();
    const before = objects('packs');
    put(`claims/${id}`, JSON.stringify(await claimOfPublished(id)));
    expect(await cleanUp()).toBe(0);
    expect(objects('packs')).toEqual(before);
    expect(objects('claims')).toEqual([]);
    await expectReadable();
  });

  it('stay when a claim says that they belong to a point that was never published', async () => {
    const before = objects('packs');
    put(`claims/${POINT}`, JSON.stringify(await claimOfPublished(POINT)));
    expect(await cleanUp()).toBe(0);
    expect(objects('packs')).toEqual(before);
    await expectReadable();
  });

  it('stay when commits are damaged, so that nobody knows what is published', async () => {
    leaveBehind(DEAD);
    const commit = path.join(made.location, 'commits', '000000000001');
    const bytes = readFileSync(commit);
    bytes[40] = (bytes[40] as number) ^ 1;
    writeFileSync(commit, bytes);
    expect(await cleanUp()).toBe(0);
    expect(objects('packs').filter((pack) => pack.includes(TAG))).toHaveLength(2);
  });

  it('stay when a point cannot be read, so that nobody knows what it needs', async () => {
    leaveBehind(DEAD);
    const [id = ''] = objects('points').filter((name) => name !== POINT);
    put(pointObject(id), 'damaged');
    expect(await cleanUp()).toBe(0);
    expect(objects('packs').filter((pack) => pack.includes(TAG))).toHaveLength(2);
  });
});

describe('a capture about to publish', () => {
  it('is stopped when a pack of its own is gone, whoever removed it', async () => {
    const backend = new DirectoryBackend(made.location);
    const [first = '', second = ''] = PACKS;
    await backend.put(packObject(first), CONTENT);
    await checkPacksOf(backend, TAG, [first]);
    const others = '019a00000000aaaaaaaa000000000000';
    await checkPacksOf(backend, TAG, [first, others]);
    await expect(checkPacksOf(backend, TAG, [first, second])).rejects.toSatisfy((e) =>
      isRestoreError(e, 'BUSY'),
    );
    await backend.close();
  });
});

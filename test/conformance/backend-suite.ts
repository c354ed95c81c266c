import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import type { Backend } from '../../store-reader/index.ts';
import { randomBytes } from '../fixtures/random.ts';

/** What a suite needs of the backend under test. */
export interface BackendUnderTest {
  readonly backend: Backend;
  /** Another connection to the same storage, as another process would have. */
  readonly other: Backend;
  dispose(): Promise<void>;
}

const NAME = 'packs/ab/0123';
const RACERS = 16;

/** The contract of `Backend`. Every backend runs it; `make` gives empty storage each time. */
export function backendSuite(name: string, make: () => Promise<BackendUnderTest>): void {
  const withBackend =
    (body: (under: BackendUnderTest) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const under = await make();
      try {
        await body(under);
      } finally {
        await under.backend.close();
        await under.other.close();
        await under.dispose();
      }
    };

  describe(`${name} keeps the Backend contract`, () => {
    it(
      'gives back what was put, whole and in ranges, to others too',
      withBackend(async ({ backend, other }) => {
        const data = randomBytes(300_000, 1);
        await backend.put(NAME, data);
        for (const reader of [backend, other]) {
          expect(Buffer.compare(await reader.get(NAME), data)).toBe(0);
          expect(await reader.sizeOf(NAME)).toBe(data.length);
          await expectRange(reader, data, 0, 1);
          await expectRange(reader, data, 299_999, 1);
          await expectRange(reader, data, 70_001, 130_003);
          await expectRange(reader, data, 300_000, 0);
        }
      }),
    );

    it(
      'keeps empty objects',
      withBackend(async ({ backend, other }) => {
        await backend.put(NAME, new Uint8Array(0));
        expect(await other.sizeOf(NAME)).toBe(0);
        expect(await other.get(NAME)).toHaveLength(0);
      }),
    );

    it(
      'says CORRUPT when a range goes past the end, and touches nothing beside the target',
      withBackend(async ({ backend }) => {
        await backend.put(NAME, randomBytes(1000, 2));
        const guarded = new Uint8Array(64).fill(0xa5);
        for (const offset of [999, 1000, 5000]) {
          const target = guarded.subarray(16, 48);
          await expectCode(backend.readInto(NAME, target, offset), 'CORRUPT');
        }
        expect(guarded.subarray(0, 16)).toEqual(new Uint8Array(16).fill(0xa5));
        expect(guarded.subarray(48)).toEqual(new Uint8Array(16).fill(0xa5));
      }),
    );

    it(
      'says NOT_FOUND of what is not there',
      withBackend(async ({ backend }) => {
        await expectCode(backend.get(NAME), 'NOT_FOUND');
        await expectCode(backend.sizeOf(NAME), 'NOT_FOUND');
        await expectCode(backend.readInto(NAME, new Uint8Array(1), 0), 'NOT_FOUND');
        expect(await names(backend, 'packs')).toEqual([]);
        await backend.delete(NAME);
      }),
    );

    it(
      'never replaces an object',
      withBackend(async ({ backend, other }) => {
        await backend.put(NAME, Buffer.from('first'));
        await expectCode(other.put(NAME, Buffer.from('second')), 'EXISTS');
        expect(await other.putIfAbsent(NAME, Buffer.from('third'))).toBe(false);
        const sink = await other.create(NAME);
        await sink.write(Buffer.from('fourth'));
        await expectCode(sink.commit(), 'EXISTS');
        expect(Buffer.from(await backend.get(NAME)).toString()).toBe('first');
      }),
    );

    it(
      'lets exactly one of many win a name',
      withBackend(async ({ backend, other }) => {
        for (let round = 0; round < 10; round += 1) {
          const object = `commits/${round}`;
          const won = await Promise.all(
            Array.from({ length: RACERS }, (_, racer) =>
              (racer % 2 === 0 ? backend : other).putIfAbsent(
                object,
                Buffer.from(`racer ${racer}`),
              ),
            ),
          );
          expect(won.filter(Boolean)).toHaveLength(1);
          const content = Buffer.from(await other.get(object)).toString();
          expect(content).toBe(`racer ${won.indexOf(true)}`);
        }
      }),
    );

    it(
      'lists all names below a prefix and no others',
      withBackend(async ({ backend, other }) => {
        const all = ['packs/ab/1', 'packs/ab/2', 'packs/cd/3', 'packs2/4', 'points/ab/5'];
        for (const each of all) await backend.put(each, Buffer.from(each));
        expect(await names(other, 'packs')).toEqual(['packs/ab/1', 'packs/ab/2', 'packs/cd/3']);
        expect(await names(other, 'packs/ab')).toEqual(['packs/ab/1', 'packs/ab/2']);
        expect(await names(other, 'claims')).toEqual([]);
      }),
    );

    it(
      'shows a large object only once it is committed',
      withBackend(async ({ backend, other }) => {
        const data = randomBytes(5_000_000, 3);
        const sink = await backend.create(NAME);
        for (let at = 0; at < data.length; at += 700_001) {
          await sink.write(data.subarray(at, at + 700_001));
          await expectCode(other.sizeOf(NAME), 'NOT_FOUND');
          expect(await names(other, 'packs')).toEqual([]);
        }
        await sink.commit();
        expect(Buffer.compare(await other.get(NAME), data)).toBe(0);
      }),
    );

    it(
      'forgets a large object that is given up, and leaves a live writer alone when tidying',
      withBackend(async ({ backend, other }) => {
        const givenUp = await backend.create(NAME);
        await givenUp.write(randomBytes(100_000, 4));
        await givenUp.abort();
        await givenUp.abort();
        const alive = await backend.create('packs/ab/alive');
        await alive.write(Buffer.from('half, '));
        await other.tidy();
        await alive.write(Buffer.from('whole'));
        await alive.commit();
        expect(await names(other, 'packs')).toEqual(['packs/ab/alive']);
        expect(Buffer.from(await other.get('packs/ab/alive')).toString()).toBe('half, whole');
      }),
    );

    it(
      'deletes, and what is deleted can be read no more',
      withBackend(async ({ backend }) => {
        await backend.put(NAME, randomBytes(1000, 5));
        await backend.readInto(NAME, new Uint8Array(10), 0);
        await backend.delete(NAME);
        await expectCode(backend.readInto(NAME, new Uint8Array(10), 0), 'NOT_FOUND');
        expect(await names(backend, 'packs')).toEqual([]);
        await backend.delete(NAME);
        await backend.put(NAME, Buffer.from('again'));
        expect(Buffer.from(await backend.get(NAME)).toString()).toBe('again');
      }),
    );

    it(
      'stores the bytes as they were when it was called for',
      withBackend(async ({ backend }) => {
        const data = Buffer.from('before');
        const put = backend.put(NAME, data);
        await put;
        data.write('after!');
        expect(Buffer.from(await backend.get(NAME)).toString()).toBe('before');
      }),
    );

    it(
      'reads without a promise as it does with one, where it can',
      withBackend(async ({ backend }) => {
        if (backend.readIntoSync === undefined) return;
        const data = randomBytes(10_000, 6);
        await backend.put(NAME, data);
        const target = new Uint8Array(5000);
        backend.readIntoSync(NAME, target, 5000);
        expect(Buffer.compare(target, data.subarray(5000))).toBe(0);
        expect(() => backend.readIntoSync?.(NAME, target, 5001)).toThrow(/shorter/);
        expect(() => backend.readIntoSync?.('packs/ab/none', target, 0)).toThrow(/cannot read/);
      }),
    );
  });
}

async function names(backend: Backend, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const name of backend.list(prefix)) found.push(name);
  return found.sort();
}

async function expectRange(
  backend: Backend,
  data: Uint8Array,
  offset: number,
  length: number,
): Promise<void> {
  const target = new Uint8Array(length);
  await backend.readInto(NAME, target, offset);
  expect(Buffer.compare(target, data.subarray(offset, offset + length))).toBe(0);
}

async function expectCode(
  promise: Promise<unknown>,
  code: 'CORRUPT' | 'EXISTS' | 'NOT_FOUND',
): Promise<void> {
  await expect(promise).rejects.toSatisfy((error) => isRestoreError(error, code));
}

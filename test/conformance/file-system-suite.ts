import { describe, expect, it } from 'vitest';
import {
  type DirectoryEntry,
  type FileSystem,
  HEALTH_STATES,
  isRestoreError,
  type NodeId,
} from '../../core/index.ts';

/** What a suite needs: an open file system that holds at least one file, and one directory. */
export interface FileSystemUnderTest {
  readonly fileSystem: FileSystem;
  /** Frees the source below. */
  close(): Promise<void>;
}

const NO_SUCH_NAME = 'no such name, surely';
const FILES_MAX = 200;

/**
 * The contract of `FileSystem`, whatever it holds. Every driver runs it on at least one sound image;
 * `make` is called once a test.
 */
export function fileSystemSuite(name: string, make: () => Promise<FileSystemUnderTest>): void {
  const using =
    (body: (fileSystem: FileSystem) => Promise<void>): (() => Promise<void>) =>
    async () => {
      const under = await make();
      try {
        await body(under.fileSystem);
      } finally {
        await under.fileSystem.close();
        await under.close();
      }
    };

  describe(`${name} keeps the FileSystem contract`, () => {
    it(
      'says what it is',
      using(async (fileSystem) => {
        expect(fileSystem.type).not.toBe('');
        expect(HEALTH_STATES).toContain(fileSystem.health.state);
        expect(fileSystem.space.totalBytes).toBeGreaterThan(0);
        expect((await fileSystem.stat(fileSystem.root)).kind).toBe('directory');
      }),
    );

    it(
      'finds by name what it lists, and lists no name twice',
      using(async (fileSystem) => {
        for (const { parent, entries } of await someDirectories(fileSystem)) {
          expect(new Set(entries.map((entry) => entry.name)).size).toBe(entries.length);
          for (const entry of entries.slice(0, FILES_MAX)) {
            expect(['.', '..', '']).not.toContain(entry.name);
            expect(await fileSystem.lookup(parent, entry.name)).toBe(entry.node);
          }
        }
      }),
    );

    it(
      'tells the same attributes in a listing as alone',
      using(async (fileSystem) => {
        const directories = await someDirectories(fileSystem, true);
        for (const entry of directories.flatMap(({ entries }) => entries).slice(0, FILES_MAX)) {
          const attributes = await fileSystem.stat(entry.node);
          expect(entry.attributes).toEqual(attributes);
          if (entry.kind !== 'unknown') expect(entry.kind).toBe(attributes.kind);
        }
      }),
    );

    it(
      'does not find what is not there',
      using(async (fileSystem) => {
        expect(await fileSystem.lookup(fileSystem.root, NO_SUCH_NAME)).toBeUndefined();
        expect(await fileSystem.lookup(fileSystem.root, '')).toBeUndefined();
        expect(await fileSystem.lookup(fileSystem.root, 'a/b')).toBeUndefined();
      }),
    );

    it(
      'reads content of the stated size, in any pieces',
      using(async (fileSystem) => {
        for (const entry of await someFiles(fileSystem)) {
          const { size } = await fileSystem.stat(entry.node);
          const content = await fileSystem.open(entry.node);
          expect(content.size).toBe(size);
          const length = Math.min(size, 300_000);
          const whole = new Uint8Array(length);
          await content.readInto(whole, 0);
          const pieces = new Uint8Array(length);
          for (let at = 0; at < length; at += 7_001) {
            await content.readInto(pieces.subarray(at, Math.min(length, at + 7_001)), at);
          }
          expect(Buffer.compare(whole, pieces)).toBe(0);
          await expectOutside(content.readInto(new Uint8Array(1), size));
          await expectHolesZero(content, whole);
          await content.close();
        }
      }),
    );

    it(
      'refuses what makes no sense',
      using(async (fileSystem) => {
        const [file] = await someFiles(fileSystem);
        if (file === undefined) throw new Error('the image holds no file');
        await expectCode(fileSystem.lookup(file.node, 'x'), 'INVALID');
        await expectCode(fileSystem.readLink(file.node), 'INVALID');
        await expectCode(fileSystem.open(fileSystem.root), 'INVALID');
        await expectCode(fileSystem.open(file.node, 'no such stream'), 'NOT_FOUND');
        await expectCode(fileSystem.list(file.node)[Symbol.asyncIterator]().next(), 'INVALID');
      }),
    );

    it(
      'ends when it is told to',
      using(async (fileSystem) => {
        const signal = AbortSignal.abort();
        const listing = fileSystem.list(fileSystem.root, { signal });
        await expectCode(listing[Symbol.asyncIterator]().next(), 'CANCELLED');
      }),
    );
  });
}

interface Directory {
  readonly parent: NodeId;
  readonly entries: DirectoryEntry[];
}

/** The root, and what lies in it and one level below. */
async function someDirectories(fileSystem: FileSystem, attributes = false): Promise<Directory[]> {
  const found: Directory[] = [];
  const waiting: NodeId[] = [fileSystem.root];
  for (
    let next = waiting.shift();
    next !== undefined && found.length < 10;
    next = waiting.shift()
  ) {
    const entries: DirectoryEntry[] = [];
    for await (const batch of fileSystem.list(next, { attributes })) entries.push(...batch);
    found.push({ parent: next, entries });
    waiting.push(...entries.filter(({ kind }) => kind === 'directory').map(({ node }) => node));
  }
  return found;
}

async function someFiles(fileSystem: FileSystem): Promise<DirectoryEntry[]> {
  const directories = await someDirectories(fileSystem, true);
  return directories
    .flatMap(({ entries }) => entries)
    .filter(({ attributes }) => attributes?.kind === 'file' && attributes.unreadable === undefined)
    .slice(0, 20);
}

async function expectHolesZero(
  content: Awaited<ReturnType<FileSystem['open']>>,
  head: Uint8Array,
): Promise<void> {
  let at = 0;
  const expectZero = (end: number): void => {
    expect(head.subarray(at, end).every((byte) => byte === 0)).toBe(true);
  };
  for await (const { offset, length } of content.extents(0, head.byteLength)) {
    expect(offset).toBeGreaterThanOrEqual(at);
    expectZero(offset);
    at = offset + length;
  }
  expectZero(head.byteLength);
}

async function expectOutside(reading: Promise<void>): Promise<void> {
  await expectCode(reading, 'INVALID');
}

async function expectCode(action: Promise<unknown>, code: string): Promise<void> {
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(isRestoreError(error) ? error.code : error).toBe(code);
}

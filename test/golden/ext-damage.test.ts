/** ext volumes with one thing wrong, or one thing that Linux here cannot mount; debugfs is the judge. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DirectoryEntry, type FileSystem, isRestoreError } from '../../core/index.ts';
import { debugfsWrite, makeExt, withExtOpened } from '../fixtures/file-systems/ext.ts';
import { randomBytes } from '../fixtures/random.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

const MIB = 1024 * 1024;
const reason = missingTool('mke2fs', 'debugfs', 'e2fsck');

describe('ext with something wrong', () => {
  let folder: string;
  let content: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    content = path.join(folder, 'content');
    mkdirSync(path.join(content, 'folder'), { recursive: true });
    for (let index = 0; index < 60; index += 1) {
      const name = path.join(content, 'folder', `${'file-'.repeat(9)}${index}`);
      writeFileSync(name, randomBytes(index * 100, index + 1));
    }
    writeFileSync(path.join(content, 'plain'), randomBytes(300_000, 7));
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  const make = (name: string, mkfs: readonly string[], sizeBytes = 64 * MIB): Promise<string> =>
    makeExt(folder, name, { sizeBytes, mkfs: [...mkfs, '-d', content] });

  it('names a feature that is not known, and does not read', async () => {
    const image = await make('unknown', ['-t', 'ext4']);
    await debugfsWrite(image, ['feature FEATURE_I30']);
    const error = await failureOf(withExtOpened(image, async () => undefined));
    expect(isRestoreError(error, 'UNSUPPORTED') && error.message).toContain('I30');
  });

  it.each([
    ['-O', 'metadata_csum'],
    ['-O', '^metadata_csum'],
  ])('lists a name whose inode is gone, with an error for it alone (%s %s)', async (...options) => {
    const image = await make('cleared', ['-t', 'ext4', ...options]);
    await debugfsWrite(image, ['clri /plain']);
    await withExtOpened(image, async (fileSystem) => {
      const entries = await entriesOf(fileSystem, fileSystem.root);
      const plain = entries.find(({ name }) => name === 'plain');
      expect(plain?.attributes).toBeUndefined();
      expect(isRestoreError(plain?.error, 'CORRUPT')).toBe(true);
      const folderEntry = entries.find(({ name }) => name === 'folder');
      expect(folderEntry?.attributes?.kind).toBe('directory');
      expect(fileSystem.health.state).toBe('partly damaged');
    });
  });

  it('gives the rest of a directory of which a block is damaged, and misses no name in silence', async () => {
    const image = await make('torn', ['-t', 'ext4', '-b', '1024']);
    const { stdout } = await run('debugfs', ['-R', 'blocks /folder', image]);
    const blocks = stdout.trim().split(/\s+/u).map(Number);
    expect(blocks.length).toBeGreaterThan(3);
    patch(image, (blocks[2] as number) * 1024 + 9, Buffer.from('X'));
    await withExtOpened(image, async (fileSystem) => {
      const node = (await fileSystem.lookup(fileSystem.root, 'folder')) ?? 0;
      const names: string[] = [];
      const error = await failureOf(
        (async () => {
          for await (const batch of fileSystem.list(node)) names.push(...batch.map((e) => e.name));
        })(),
      );
      expect(isRestoreError(error, 'CORRUPT')).toBe(true);
      expect(names.length).toBeGreaterThan(30);
      expect(names.length).toBeLessThan(60);
      expect(await fileSystem.lookup(node, names[0] as string)).toBeGreaterThan(0);
      const missing = await failureOf(fileSystem.lookup(node, 'not among them'));
      expect(isRestoreError(missing, 'CORRUPT')).toBe(true);
    });
  });

  it('reads a file around a damaged part of its map', async () => {
    const image = await make('map', ['-t', 'ext3', '-b', '1024']);
    const { stdout } = await run('debugfs', ['-R', 'stat /plain', image]);
    const indirect = Number(/\(IND\):(\d+)/u.exec(stdout)?.[1]);
    patch(image, indirect * 1024, Buffer.from([0xff, 0xff, 0xff, 0x7f]));
    const right = readFileSync(path.join(content, 'plain'));
    await withExtOpened(image, async (fileSystem) => {
      const node = (await fileSystem.lookup(fileSystem.root, 'plain')) ?? 0;
      const file = await fileSystem.open(node);
      const head = Buffer.alloc(12 * 1024);
      await file.readInto(head, 0);
      expect(head.equals(right.subarray(0, head.length))).toBe(true);
      const inside = await failureOf(file.readInto(new Uint8Array(10), 20_000));
      expect(isRestoreError(inside, 'CORRUPT')).toBe(true);
      const tail = Buffer.alloc(20_000);
      await file.readInto(tail, 280_000);
      expect(tail.equals(right.subarray(280_000, 300_000))).toBe(true);
    });
  });

  it('reads through a copy of the descriptors', async () => {
    const image = await make('descriptors', ['-t', 'ext4', '-b', '1024', '-g', '8192']);
    const before = await withExtOpened(image, contents);
    patch(image, 2048, Buffer.alloc(1024, 0xee));
    const [after, state] = await withExtOpened(image, async (fileSystem) => [
      await contents(fileSystem),
      fileSystem.health.state,
    ]);
    expect(after).toEqual(before);
    expect(after.size).toBe(61);
    expect(state).toBe('partly damaged');
  });

  it('tells sums that a flipped bit switched off from those that tune2fs did', async () => {
    const image = await make('sums', ['-t', 'ext4', '-b', '1024']);
    await withExtOpened(image, async ({ health }) => expect(health.state).toBe('clean'));
    // s_feature_ro_compat: metadata_csum is 0x400.
    const [flags] = readFileSync(image).subarray(1024 + 0x65);
    patch(image, 1024 + 0x65, Buffer.of((flags as number) & ~0x04));
    await withExtOpened(image, async ({ health }) => {
      expect(health.state).toBe('partly damaged');
      expect(health.findings[0]?.where?.structure).toBe('s_feature_ro_compat');
    });
    // A name that is another now: the sums that are said not to be there tell.
    const { stdout } = await run('debugfs', ['-R', 'blocks /folder', image]);
    const nameAt = Number(stdout.trim().split(/\s+/u)[0]) * 1024 + 40;
    const [letter] = readFileSync(image).subarray(nameAt);
    patch(image, nameAt, Buffer.from('X'));
    await withExtOpened(image, async (fileSystem) => {
      const node = (await fileSystem.lookup(fileSystem.root, 'folder')) ?? 0;
      const error = await failureOf(entriesOf(fileSystem, node));
      expect(isRestoreError(error, 'CORRUPT')).toBe(true);
    });
    patch(image, nameAt, Buffer.of(letter as number));
    patch(image, 1024 + 0x65, Buffer.of(flags as number));
    await run('tune2fs', ['-O', '^metadata_csum', image]);
    await withExtOpened(image, async ({ health }) => expect(health.state).toBe('clean'));
  });

  it('tells a truncated volume from a whole one', async () => {
    const image = await make('short', ['-t', 'ext4']);
    execFileSync('truncate', ['-s', '40M', image]);
    await withExtOpened(image, async (fileSystem) => {
      expect(fileSystem.health.state).toBe('partly damaged');
    });
  });

  it.each([8192, 65_536])('reads blocks of %i bytes as debugfs does', async (blockSize) => {
    const image = await make('large', ['-t', 'ext4', '-b', String(blockSize)], 256 * MIB);
    const target = path.join(folder, `dumped-${blockSize}`);
    mkdirSync(target);
    await run('debugfs', ['-R', `rdump / ${target}`, image]);
    const ours = await withExtOpened(image, contents);
    expect(ours.size).toBe(61);
    for (const [name, bytes] of ours) {
      expect(Buffer.compare(bytes, readFileSync(path.join(target, name)))).toBe(0);
    }
  });

  it('finds names by folded case where the directory asks for it', async () => {
    const image = await make('folded', ['-t', 'ext4', '-O', 'casefold', '-E', 'encoding=utf8']);
    await debugfsWrite(image, [
      'mkdir folded',
      'set_inode_field folded flags 0x40080000',
      'cd folded',
      `write ${path.join(content, 'plain')} Straße`,
    ]);
    await withExtOpened(image, async (fileSystem) => {
      const root = fileSystem.root;
      const folded = (await fileSystem.lookup(root, 'folded')) ?? 0;
      const file = await fileSystem.lookup(folded, 'Straße');
      expect(file).toBeGreaterThan(0);
      expect(await fileSystem.lookup(folded, 'STRASSE')).toBe(file);
      expect(await fileSystem.lookup(folded, 'strase')).toBeUndefined();
      expect(await fileSystem.lookup(root, 'PLAIN')).toBeUndefined();
    });
  });
});

async function failureOf(action: Promise<unknown>): Promise<unknown> {
  return action.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function entriesOf(fileSystem: FileSystem, node: number): Promise<DirectoryEntry[]> {
  const batches = await Array.fromAsync(fileSystem.list(node, { attributes: true }));
  return batches.flat();
}

/** Contents of all files in the root and in `folder`, by path. */
async function contents(fileSystem: FileSystem): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const inner = (await fileSystem.lookup(fileSystem.root, 'folder')) ?? 0;
  for (const [prefix, node] of [
    ['', fileSystem.root],
    ['folder/', inner],
  ] as const) {
    for (const { name, node: file, kind } of await entriesOf(fileSystem, node)) {
      if (kind !== 'file') continue;
      const source = await fileSystem.open(file);
      const bytes = Buffer.alloc(source.size);
      await source.readInto(bytes, 0);
      found.set(prefix + name, bytes);
    }
  }
  return found;
}

function patch(image: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(image, 'r+');
  writeSync(file, bytes, 0, bytes.byteLength, offset);
  closeSync(file);
}

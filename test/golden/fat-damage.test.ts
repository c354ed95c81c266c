/** Damaged and unusual FAT volumes: what is left is read, what is not is said. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, type FileSystem, isRestoreError } from '../../core/index.ts';
import { identifyFileSystem, openFileSystem } from '../../parsers/index.ts';
import { FatEditor } from '../fixtures/file-systems/fat-editor.ts';
import { makeFatVolume, makeSourceTree } from '../fixtures/file-systems/fat.ts';
import { listWithSleuthKit } from '../fixtures/file-systems/fat-oracles.ts';
import { type Listing, listFileSystem } from '../fixtures/file-systems/index.ts';
import { randomBytes } from '../fixtures/random.ts';
import { run } from '../fixtures/tools/index.ts';
import { missingTool, removeFolder, temporaryFolder } from './image-support.ts';

const reason = missingTool('mkfs.fat', 'mcopy', 'mdir', 'fls');
const KINDS = [
  { bits: 16, sizeKib: 4500, sectorsPerCluster: 1, label: 'LABEL' },
  { bits: 32, sizeKib: 36_000, sectorsPerCluster: 1, label: 'LABEL' },
] as const;
/** The file in many pieces, as `makeFatVolume` writes it. */
const FRAGMENTED = Buffer.from(randomBytes(512 * 16 - 100, 2));
const FRAGMENTED_SHORT = 'FRAGME~1BIN';

const open = (image: Uint8Array): Promise<FileSystem> => openFileSystem(new BytesSource(image));

async function codeOf(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return 'none';
  } catch (error) {
    if (!isRestoreError(error)) throw error;
    return error.code;
  }
}

async function namesIn(fileSystem: FileSystem, node = fileSystem.root): Promise<string[]> {
  const names: string[] = [];
  for await (const batch of fileSystem.list(node)) names.push(...batch.map(({ name }) => name));
  return names;
}

async function find(fileSystem: FileSystem, name: string): Promise<number> {
  const node = await fileSystem.lookup(fileSystem.root, name);
  if (node === undefined) throw new Error(`no ${name}`);
  return node;
}

/** Reads a file by the cluster: its bytes, up to where it throws, and the code of that. */
async function readUp(
  fileSystem: FileSystem,
  name: string,
): Promise<{ data: Buffer; code: string }> {
  const source = await fileSystem.open(await find(fileSystem, name));
  const parts: Uint8Array[] = [];
  for (let at = 0; at < source.size; at += 512) {
    const part = new Uint8Array(Math.min(512, source.size - at));
    const code = await codeOf(source.readInto(part, at));
    if (code !== 'none') return { data: Buffer.concat(parts), code };
    parts.push(part);
  }
  return { data: Buffer.concat(parts), code: 'none' };
}

describe.each(KINDS)(
  `a damaged FAT$bits${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  (plan) => {
    let folder: string;
    let sound: Buffer;
    let expected: Listing;
    beforeAll(async () => {
      if (reason !== undefined) return;
      folder = await temporaryFolder();
      const tree = path.join(folder, 'tree');
      makeSourceTree(tree);
      await makeFatVolume(path.join(folder, 'sound.img'), plan, tree);
      sound = readFileSync(path.join(folder, 'sound.img'));
      expected = await listFileSystem(await open(sound));
    });
    afterAll(async () => {
      if (folder !== undefined) await removeFolder(folder);
    });
    beforeEach((context) => context.skip(reason !== undefined, reason));

    const edited = (edit: (editor: FatEditor, clusters: number[]) => void): Buffer => {
      const editor = new FatEditor(sound);
      edit(editor, editor.chain(editor.firstCluster(FRAGMENTED_SHORT)));
      return editor.image;
    };

    it.each([
      ['runs in a circle', (clusters: number[]) => clusters[2], 10],
      ['leads to a free cluster', () => 4400, 10],
      ['leads nowhere', () => 1, 10],
      ['leads outside', () => (plan.bits === 16 ? 0xfff0 : 0x0fff_fff0), 10],
      ['ends early', () => (plan.bits === 16 ? 0xffff : 0x0fff_ffff), 10],
      ['is marked bad', () => (plan.bits === 16 ? 0xfff7 : 0x0fff_fff7), 9],
      ['is marked free', () => 0, 9],
    ] as const)(
      'reads a file up to where its chain %s, and no further',
      async (_, value, sound_) => {
        const image = edited((editor, clusters) => {
          editor.link(clusters[9] as number, value(clusters) as number);
        });
        const fileSystem = await open(image);
        const { data, code } = await readUp(fileSystem, 'fragmented.bin');
        expect(code).toBe('CORRUPT');
        expect(data.equals(FRAGMENTED.subarray(0, 512 * sound_))).toBe(true);
        expect(fileSystem.health.state).toBe('partly damaged');
        expect((await fileSystem.stat(await find(fileSystem, 'fragmented.bin'))).size).toBe(8092);
      },
    );

    it('reads a chain by the second FAT when the first has it damaged', async () => {
      const image = edited((editor, clusters) => {
        editor.link(clusters[9] as number, clusters[2] as number, [0]);
      });
      const fileSystem = await open(image);
      expect(await readUp(fileSystem, 'fragmented.bin')).toEqual({
        data: FRAGMENTED,
        code: 'none',
      });
      expect(fileSystem.health.state).toBe('partly damaged');
    });

    it('reads everything by the second FAT when the first is zeroed', async () => {
      const fileSystem = await open(edited((editor) => editor.fat(0).fill(0)));
      expect(await listFileSystem(fileSystem)).toEqual(expected);
      expect(fileSystem.health.state).toBe('partly damaged');
    });

    it('needs no mark at the end of the boot sector', async () => {
      const fileSystem = await open(edited(({ image }) => image.writeUInt16LE(0, 510)));
      expect(await listFileSystem(fileSystem)).toEqual(expected);
    });

    it('says that a volume was in use', async () => {
      const flag = edited((editor) => editor.link(1, plan.bits === 16 ? 0x7fff : 0x07ff_ffff));
      expect((await open(flag)).health.state).toBe('stale');
      const boot = edited(({ image }) => image.writeUInt8(1, plan.bits === 16 ? 37 : 65));
      expect((await open(boot)).health.state).toBe('stale');
    });

    it('shows the short name where the long one is an orphan', async () => {
      const image = edited((editor) => {
        const slot = editor.slot(FRAGMENTED_SHORT);
        editor.image.writeUInt8(editor.image.readUInt8(slot - 32 + 13) ^ 1, slot - 32 + 13);
      });
      const names = await namesIn(await open(image));
      expect(names).toContain('FRAGME~1.BIN');
      expect(names).not.toContain('fragmented.bin');
    });

    it('keeps half a surrogate pair in a name', async () => {
      const at = sound.indexOf(Buffer.from('f\0r\0a\0g\0', 'latin1'));
      const fileSystem = await open(edited(({ image }) => image.writeUInt16LE(0xd83d, at)));
      expect(await namesIn(fileSystem)).toContain('\ud83dragmented.bin');
      expect(await fileSystem.lookup(fileSystem.root, '\ud83dragmented.BIN')).toBeDefined();
    });

    it('reads short names by code page 437 and with the flags of Windows NT', async () => {
      const image = edited((editor) => {
        const at = editor.slot('P1');
        Buffer.from('\x05\x81A     T  ', 'latin1').copy(editor.image, at);
        editor.image.writeUInt8(0x10, at + 12);
      });
      const fileSystem = await open(image);
      expect(await namesIn(fileSystem)).toContain('\u03c3\u00fcA.t');
      const lower = edited((editor) => editor.image.writeUInt8(0x08, editor.slot('P1') + 12));
      expect(await namesIn(await open(lower))).toContain('p1');
    });

    it.each([
      ['an extension', 8, ' \0\0'],
      ['a base', 2, '\0JUNK  '],
    ])('ends %s of a short name at its first NUL, as mtools does', async (_, offset, bytes) => {
      const image = edited((editor) => {
        editor.image.write(bytes, editor.slot('P3') + offset, 'latin1');
      });
      const file = path.join(folder, 'nul.img');
      writeFileSync(file, image);
      const { stdout } = await run('mdir', ['-b', '-i', file, '::']);
      expect(stdout.split('\n')).toContain('::/P3');
      expect(await namesIn(await open(image))).toContain('P3');
    });

    it('knows no node where no file is', async () => {
      const editor = new FatEditor(sound);
      const slot = editor.slot(FRAGMENTED_SHORT);
      const fileSystem = await open(editor.image);
      expect((await fileSystem.stat(slot)).size).toBe(8092);
      for (const node of [slot - 32, slot + 1, 512, editor.image.length, -32, Number.NaN]) {
        expect(await codeOf(fileSystem.stat(node))).toBe('INVALID');
      }
      editor.image.writeUInt8(0xe5, slot);
      expect(await codeOf((await open(editor.image)).open(slot))).toBe('INVALID');
    });

    it('ends where a directory contains itself', async () => {
      const image = edited((editor) => {
        const level = editor.slot('LEVEL1~1');
        const above = editor.firstCluster('LEVEL0~1');
        editor.image.writeUInt16LE(Math.floor(above / 65_536), level + 20);
        editor.image.writeUInt16LE(above % 65_536, level + 26);
      });
      const fileSystem = await open(image);
      let node = await find(fileSystem, 'tree');
      let code = 'none';
      for (let depth = 0; depth < 100 && code === 'none'; depth += 1) {
        const next = await fileSystem
          .lookup(node, `level ${depth}`)
          .catch((error: unknown) => error);
        if (typeof next === 'number') node = next;
        else code = isRestoreError(next) ? next.code : 'none';
        if (next === undefined) break;
      }
      expect(code).toBe('CORRUPT');
    });

    it('lists a directory whose first cluster was overwritten, and says so', async () => {
      const image = edited((editor) => {
        editor.image.write('NODOT      ', editor.at(editor.firstCluster('TREE')), 'latin1');
      });
      const fileSystem = await open(image);
      const tree = await find(fileSystem, 'tree');
      expect(await codeOf(namesIn(fileSystem, tree))).toBe('CORRUPT');
      expect(await fileSystem.lookup(tree, 'many')).toBeDefined();
      expect(await codeOf(fileSystem.lookup(tree, 'not there'))).toBe('CORRUPT');
    });

    it('reads what a volume that was cut off still has', async () => {
      const editor = new FatEditor(sound);
      const clusters = editor.chain(editor.firstCluster(FRAGMENTED_SHORT));
      const image = editor.image.subarray(0, editor.at(clusters[10] as number) + 100);
      const fileSystem = await open(image);
      expect(fileSystem.health.state).toBe('partly damaged');
      const { data, code } = await readUp(fileSystem, 'fragmented.bin');
      expect(code).toBe('CORRUPT');
      expect(data.length).toBeGreaterThan(512);
      expect(data.equals(FRAGMENTED.subarray(0, data.length))).toBe(true);
    });

    it('does not take a volume of others for FAT', async () => {
      expect(await identifyFileSystem(new BytesSource(new Uint8Array(100_000)))).toBeUndefined();
      expect(await identifyFileSystem(new BytesSource(randomBytes(100_000, 5)))).toBeUndefined();
      const luks = edited(({ image }) => image.fill('LUKS\xba\xbe', 0, 512, 'latin1'));
      expect(await identifyFileSystem(new BytesSource(luks))).toBeUndefined();
    });

    if (plan.bits !== 32) return;
    describe('with what FAT32 alone has', () => {
      it('reads by the backup of the boot sector', async () => {
        const fileSystem = await open(edited(({ image }) => image.fill(0, 0, 512)));
        expect(await listFileSystem(fileSystem)).toEqual(expected);
        expect(fileSystem.health.state).toBe('partly damaged');
      });

      it('reads by the active FAT alone where mirroring is off', async () => {
        const image = edited((editor) => {
          editor.image.writeUInt16LE(0x81, 40);
          editor.fat(0).fill(0x55);
        });
        const fileSystem = await open(image);
        expect(await listFileSystem(fileSystem)).toEqual(expected);
        expect(fileSystem.health.state).toBe('clean');
      });

      it('lists a directory of 65,000 entries', async () => {
        const editor = new FatEditor(sound);
        editor.addEntries('EMPTYD~1', 65_000, 60_000);
        const file = path.join(folder, 'many.img');
        writeFileSync(file, editor.image);
        const listed = await listWithSleuthKit(file);
        const wanted = [...listed.keys()].filter((name) => name.includes('/empty directory/'));
        const fileSystem = await open(editor.image);
        const directory = await fileSystem.lookup(
          await find(fileSystem, 'tree'),
          'empty directory',
        );
        const names = await namesIn(fileSystem, directory);
        expect(names).toHaveLength(65_000);
        const paths = names.map((name) => `/tree/empty directory/${name}`);
        expect(paths.toSorted()).toEqual(wanted.toSorted());
        expect(await fileSystem.lookup(directory as number, 'f0064999.txt')).toBeDefined();
      });
    });
  },
);

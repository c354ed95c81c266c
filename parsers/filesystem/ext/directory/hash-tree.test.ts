import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Budget, BytesSource, cache, HealthLog, nameToBytes } from '../../../../core/index.ts';
import {
  missingTool,
  removeFolder,
  temporaryFolder,
} from '../../../../test/golden/image-support.ts';
import { run } from '../../../../test/fixtures/tools/index.ts';
import { readSuperblock } from '../find-superblock.ts';
import { InodeTable } from '../inode-table.ts';
import type { ExtVolume } from '../volume.ts';
import { hashName } from './hash.ts';
import { findByHash } from './hash-tree.ts';
import { DirectoryReader } from './reader.ts';

const reason = missingTool('mke2fs', 'debugfs', 'e2fsck');
const NAME_COUNT = 3000;
const VERSIONS = ['legacy', 'half_md4', 'tea'];
const SEED = '12345678-9abc-def0-1122-334455667788';

describe('hash trees', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    mkdirSync(path.join(folder, 'content'));
    for (let index = 0; index < NAME_COUNT; index += 1) {
      writeFileSync(path.join(folder, 'content', `${'é'.repeat(index % 40)}${index}`), '');
    }
  });
  afterAll(() => removeFolder(folder));
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(VERSIONS)('hash names as debugfs does: %s', async (version) => {
    const names = ['a', 'abcd', 'longer than sixteen bytes', 'é'.repeat(30), 'x'.repeat(255)];
    for (const name of names) {
      const args = `dx_hash -h ${version} -s ${SEED} "${name}"`;
      const { stdout } = await run('debugfs', ['-R', args]);
      const [, major, minor] = /is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)/u.exec(stdout) ?? [];
      const seed = Buffer.from(SEED.replaceAll('-', ''), 'hex');
      const ours = hashName(nameToBytes(name), VERSIONS.indexOf(version), seed);
      expect({ name, ...ours }).toEqual({
        name,
        major: Number.parseInt(major ?? '', 16),
        minor: Number.parseInt(minor ?? '', 16),
      });
    }
  });

  // Making the volumes takes a while on a busy machine.
  it.each([
    ['legacy', 'signed', 1],
    ['half_md4', 'unsigned', 2],
    ['tea', 'signed', 1],
  ] as const)(
    'lead to every name: %s, %s characters',
    async (version, _, flags) => {
      const image = path.join(folder, `${version}.img`);
      writeFileSync(image, '');
      truncateSync(image, 16 * 1024 * 1024);
      const content = path.join(folder, 'content');
      await run('mke2fs', [
        '-q',
        '-F',
        '-t',
        'ext4',
        '-b',
        '1024',
        '-N',
        '4000',
        '-d',
        content,
        image,
      ]);
      await run('tune2fs', ['-E', `hash_alg=${version}`, image]);
      await run('debugfs', ['-w', '-R', `set_super_value flags ${flags}`, image]);
      await run('e2fsck', ['-fyD', image], { accept: [0, 1] });
      const volume = await volumeOf(readFileSync(image));
      const root = await new InodeTable(volume).read(2);
      expect(root.has('index')).toBe(true);
      expect(volume.superblock.hash.unsigned).toBe(flags === 2);
      let count = 0;
      const wrong: string[] = [];
      for await (const links of new DirectoryReader(volume, root).links()) {
        for (const { name, inode } of links) {
          if ((await findByHash(volume, root, name)) !== inode) wrong.push(name);
          count += 1;
        }
      }
      expect(wrong).toEqual([]);
      expect(count).toBe(NAME_COUNT + 1);
      expect(await findByHash(volume, root, 'not there')).toBeUndefined();
    },
    60_000,
  );
});

async function volumeOf(bytes: Uint8Array): Promise<ExtVolume> {
  const data = new BytesSource(bytes);
  const metadata = cache(data, { budgetBytes: 16 * 1024 * 1024 });
  const volume = { data, metadata, budget: new Budget(), health: new HealthLog() };
  return { ...volume, superblock: await readSuperblock(volume) };
}

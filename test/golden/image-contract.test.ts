/** Every image format keeps the contract of sources. The content is that of a raw file. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe } from 'vitest';
import { openImage } from '../../parsers/index.ts';
import { blockSourceSuite } from '../conformance/block-source-suite.ts';
import { run } from '../fixtures/tools/index.ts';
import {
  makeRaw,
  MIB,
  missingTool,
  nodeFiles,
  removeFolder,
  temporaryFolder,
} from './image-support.ts';

const reason = missingTool('qemu-img');
const RECIPES = [
  { name: 'plain.raw', args: ['-O', 'raw'] },
  { name: 'plain.qcow2', args: ['-O', 'qcow2'] },
  { name: 'packed.qcow2', args: ['-c', '-O', 'qcow2', '-o', 'compression_type=zstd'] },
  { name: 'sparse.vmdk', args: ['-O', 'vmdk'] },
  { name: 'stream.vmdk', args: ['-O', 'vmdk', '-o', 'subformat=streamOptimized'] },
  { name: 'dynamic.vhd', args: ['-O', 'vpc', '-o', 'force_size=on'] },
  { name: 'fixed.vhd', args: ['-O', 'vpc', '-o', 'subformat=fixed,force_size=on'] },
  { name: 'dynamic.vhdx', args: ['-O', 'vhdx', '-o', 'block_size=1M'] },
] as const;

describe(`image formats${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  let folder: string;
  let content: Buffer;
  beforeAll(async () => {
    if (reason !== undefined) return;
    folder = await temporaryFolder();
    const raw = path.join(folder, 'content.raw');
    await makeRaw(raw, 6 * MIB + 512, 17);
    content = await readFile(raw);
    for (const { name, args } of RECIPES) {
      await run('qemu-img', ['convert', ...args, raw, path.join(folder, name)]);
    }
  });
  afterAll(async () => {
    if (folder !== undefined) await removeFolder(folder);
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  for (const { name } of RECIPES) {
    blockSourceSuite(name, async () => {
      const { source } = await openImage(path.join(folder, name), nodeFiles());
      return { source, content };
    });
  }
});

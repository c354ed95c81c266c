/** Small ext volumes to damage. Made without a mount, so that anyone can run this. */
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../fixtures/tools/index.ts';

/** All content is this letter, by which blocks of content are told from metadata. */
const CONTENT = 'C';
const MIB = 1024 * 1024;

export interface ExtSeed {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offsets of bytes of metadata that are not zero. */
  readonly metadata: Uint32Array;
  /** Every structure that is read carries a sum. */
  readonly isSummed: boolean;
}

/** What is damaged: mke2fs's arguments. The journal is small, and clean. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  summed: ['-t', 'ext4', '-b', '1024', '-J', 'size=1', '-I', '256'],
  'summed, inline data': [
    '-t',
    'ext4',
    '-b',
    '1024',
    '-O',
    'inline_data,^has_journal',
    '-I',
    '256',
  ],
  'summed, bigalloc': ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,^has_journal', '-C', '4096'],
  'extents without sums': ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,^has_journal'],
  'inline data without sums': [
    ...['-t', 'ext4', '-b', '1024'],
    ...['-O', '^metadata_csum,^has_journal,inline_data'],
  ],
  ext3: ['-t', 'ext3', '-b', '1024', '-J', 'size=1'],
  ext2: ['-t', 'ext2', '-b', '1024'],
};

export async function makeExtSeeds(folder: string): Promise<ExtSeed[]> {
  const content = path.join(folder, 'content');
  fillExt(content);
  const seeds: ExtSeed[] = [];
  for (const [name, options] of Object.entries(KINDS)) {
    const image = path.join(folder, `${seeds.length}.img`);
    writeFileSync(image, '');
    truncateSync(image, 3 * MIB);
    await run('mke2fs', ['-q', '-F', '-N', '96', ...options, '-d', content, image]);
    await addHardParts(image, name);
    const bytes = new Uint8Array(readFileSync(image));
    seeds.push({ name, bytes, metadata: metadataOf(bytes), isSummed: name.startsWith('summed') });
  }
  return seeds;
}

export function fillExt(root: string): void {
  mkdirSync(path.join(root, 'folder', 'inner'), { recursive: true });
  for (const size of [0, 40, 61, 130, 1024, 20_000]) {
    writeFileSync(path.join(root, `file-${size}`), CONTENT.repeat(size));
  }
  for (const length of [20, 59, 100, 300]) {
    symlinkSync(CONTENT.repeat(length), path.join(root, 'folder', `link-${length}`));
  }
  mkdirSync(path.join(root, 'many'));
  for (let index = 0; index < 40; index += 1) {
    writeFileSync(path.join(root, 'many', `${'long-name-'.repeat(8)}${index}`), '');
  }
  // Holes between the blocks, for a tree of extents, or indirect blocks.
  const sparse = Buffer.alloc(60 * 1024);
  for (let at = 0; at < sparse.length; at += 4096) sparse.fill(CONTENT, at, at + 1024);
  writeFileSync(path.join(root, 'folder', 'inner', 'holes'), sparse);
}

/** What `mke2fs -d` does not make: attributes in a block, and a hash tree. */
async function addHardParts(image: string, name: string): Promise<void> {
  const commands = [
    `ea_set /file-1024 user.in-the-inode ${'v'.repeat(20)}`,
    `ea_set /file-1024 user.in-a-block ${'v'.repeat(300)}`,
    'mknod /folder/device c 4 64',
  ];
  await run('debugfs', ['-w', '-f', '-', image], { input: `${commands.join('\n')}\n` });
  if (!name.includes('inline')) await run('e2fsck', ['-fyD', image], { accept: [0, 1] });
}

const BLOCK_BYTES = 1024;

export function metadataOf(bytes: Uint8Array): Uint32Array {
  const offsets: number[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const block = bytes.subarray(at, at + BLOCK_BYTES);
    if (block.every((byte) => byte === 0 || byte === CONTENT.charCodeAt(0))) continue;
    for (const [index, byte] of block.entries()) if (byte !== 0) offsets.push(at + index);
  }
  return Uint32Array.from(offsets);
}

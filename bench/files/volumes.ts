/** The volumes that are listed and read: made once, and kept for later runs. */
import { spawn, spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const DIRECTORIES = 1000;
export const FILES_EACH = 100;
export const BIG_NAME = 'big.bin';
const MIB = 1024 * 1024;
const BIG_MIB = 500;
const IMAGE_BYTES = 1500 * MIB;
const TIMEOUT_MS = 900_000;

/** The image of each, by name. */
export async function makeVolumes(folder: string): Promise<{ ext4: string; ntfs: string }> {
  const [ext4, ntfs] = [path.join(folder, 'ext4.img'), path.join(folder, 'ntfs.img')];
  if (existsSync(ext4) && existsSync(ntfs)) return { ext4, ntfs };
  console.log(`making volumes in ${folder}`);
  mkdirSync(folder, { recursive: true });
  const content = path.join(folder, 'content');
  if (!existsSync(ext4)) {
    fill(content);
    empty(`${ext4}.new`);
    command('mke2fs', '-q', '-F', '-t', 'ext4', '-N', '131072', '-d', content, `${ext4}.new`);
    renameSync(`${ext4}.new`, ext4);
    rmSync(content, { recursive: true });
  }
  if (!existsSync(ntfs)) {
    empty(`${ntfs}.new`);
    command('mkntfs', '-F', '-Q', '-q', `${ntfs}.new`);
    await withMounted(`${ntfs}.new`, folder, ['noatime'], fill);
    renameSync(`${ntfs}.new`, ntfs);
  }
  return { ext4, ntfs };
}

/** Mounts NTFS by ntfs-3g while `use` runs; it has ended when this returns. */
async function withMounted(
  image: string,
  folder: string,
  options: readonly string[],
  use: (mountPoint: string) => void,
): Promise<void> {
  const mountPoint = path.join(folder, 'mount');
  mkdirSync(mountPoint, { recursive: true });
  const words = ['no_detach', ...options].join(',');
  const driver = spawn('ntfs-3g', ['-o', words, image, mountPoint], { stdio: 'ignore' });
  const ended = new Promise((resolve) => driver.once('exit', resolve));
  try {
    while (!isMounted(mountPoint)) {
      if (driver.exitCode !== null) throw new Error(`ntfs-3g: exit ${driver.exitCode}`);
      await sleep(20);
    }
    use(mountPoint);
  } finally {
    if (isMounted(mountPoint)) command('umount', mountPoint);
    await ended;
  }
}

function isMounted(mountPoint: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${mountPoint} `);
}

function fill(root: string): void {
  mkdirSync(root, { recursive: true });
  for (let directory = 0; directory < DIRECTORIES; directory += 1) {
    const folder = path.join(root, `dir${String(directory).padStart(4, '0')}`);
    mkdirSync(folder);
    for (let file = 0; file < FILES_EACH; file += 1) {
      const name = `file-${String(file).padStart(3, '0')}.txt`;
      writeFileSync(path.join(folder, name), `${directory} ${file}\n`);
    }
  }
  const big = openSync(path.join(root, BIG_NAME), 'w');
  const chunk = Buffer.alloc(MIB);
  for (let at = 0; at < BIG_MIB; at += 1) writeSync(big, randomFillSync(chunk));
  closeSync(big);
}

function empty(image: string): void {
  writeFileSync(image, '');
  truncateSync(image, IMAGE_BYTES);
}

export function command(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: TIMEOUT_MS });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${status}: ${stderr}`);
}

import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { noise, type Random } from '../../fixtures/disks/random.ts';

/** A tree of directories and files, some of them links. */
export function plant(root: string, random: Random, fileCount: number): void {
  for (let index = 0; index < fileCount; index += 1) {
    const folder = path.join(root, `d${index % 7}`, `e${index % 5}`, `f${index % 3}`);
    mkdirSync(folder, { recursive: true });
    const size = random.pick([0, 10, 60, 150, 3_000, 20_000, 70_000]);
    writeFileSync(path.join(folder, `file${index}`), bytesOf(random, size));
  }
  symlinkSync('d1/e1', path.join(root, 'link'));
}

/** Changes a planted tree as users do, and as they do not. */
export function disturb(root: string, random: Random, count: number): void {
  for (let step = 0; step < count; step += 1) {
    const files = below(root);
    const file = random.pick(files);
    const other = random.pick(files);
    const act = random.pick(ACTS);
    const stats = lstatSync(file);
    act({ root, file, other, random, isFile: stats.isFile(), name: `new${step}` });
  }
}

interface Act {
  readonly root: string;
  readonly file: string;
  readonly other: string;
  readonly random: Random;
  readonly isFile: boolean;
  readonly name: string;
}

const ACTS: readonly ((act: Act) => void)[] = [
  ({ file, isFile, random }) => isFile && appendFileSync(file, bytesOf(random, 5_000)),
  ({ file, isFile, random }) => isFile && writeFileSync(file, bytesOf(random, 900)),
  ({ file, isFile }) => isFile && truncateSync(file, Math.floor(lstatSync(file).size / 2)),
  ({ file, isFile }) => isFile && rmSync(file),
  ({ file, isFile }) => isFile && chmodSync(file, 0o640),
  ({ file }) => lstatSync(file).isDirectory() && chmodSync(file, 0o711),
  ({ file, isFile }) => isFile && chownSync(file, 1000, 1001),
  ({ file, name }) => renameSync(file, path.join(path.dirname(file), name)),
  ({ file, root, name }) => renameSync(file, path.join(root, name)),
  ({ file, other, isFile }) => {
    if (isFile && existsSync(other) && lstatSync(other).isFile()) renameSync(file, other);
  },
  ({ file, isFile, name }) => isFile && linkSync(file, path.join(path.dirname(file), name)),
  ({ file, isFile, random }) => {
    if (!isFile) return;
    // The same inode, very likely, and another file.
    rmSync(file);
    writeFileSync(file, bytesOf(random, 40));
  },
  ({ file, isFile, name }) => {
    if (!isFile) return;
    rmSync(file);
    mkdirSync(file);
    writeFileSync(path.join(file, name), name);
  },
  ({ file, isFile }) => {
    if (!isFile) return;
    rmSync(file);
    symlinkSync('somewhere/else', file);
  },
  ({ root, name, random }) => {
    mkdirSync(path.join(root, name));
    for (let index = 0; index < 5; index += 1) {
      writeFileSync(path.join(root, name, `${index}`), bytesOf(random, 2_000));
    }
  },
  ({ file }) => lstatSync(file).isDirectory() && rmSync(file, { recursive: true }),
];

function bytesOf(random: Random, size: number): Buffer {
  return noise('diff', String(random.next()), size);
}

function below(root: string): string[] {
  const found = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('lost+found'))
    .map((name) => path.join(root, name));
  return found.toSorted();
}

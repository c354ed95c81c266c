import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, rmSync, utimesSync, writeSync } from 'node:fs';
import { seededRandom } from '../../test/fixtures/random.ts';

const MIB = 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;

/** An ext4 image of this machine's own /usr, every block of it allocated, as an old disk's are. */
export function makeRealisticImage(file: string, sizeMib: number, source: string): void {
  const sparse = `${file}.sparse`;
  execFileSync('truncate', ['--size', `${sizeMib}M`, sparse]);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', source, sparse], { stdio: 'pipe' });
  execFileSync('cp', ['--sparse=never', sparse, file]);
  rmSync(sparse);
}

export function makeIncompressibleImage(file: string, sizeMib: number): void {
  const handle = openSync(file, 'w');
  const chunk = Buffer.alloc(4 * MIB);
  for (let at = 0; at < sizeMib * MIB; at += chunk.length) {
    writeSync(handle, randomFillSync(chunk), 0, chunk.length, at);
  }
  closeSync(handle);
}

/** New bytes in a hundredth of the blocks, chosen at random from a seed. */
export function changeOnePercent(file: string, seed: number): void {
  const handle = openSync(file, 'r+');
  const blocks = Math.floor(fstatSync(handle).size / BLOCK_BYTES);
  const random = seededRandom(seed);
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let change = 0; change < blocks / 100; change += 1) {
    const at = Math.floor(random() * blocks) * BLOCK_BYTES;
    writeSync(handle, randomFillSync(block), 0, block.length, at);
  }
  closeSync(handle);
  // restic and borg look at times to see whether a file changed at all.
  utimesSync(file, new Date(), new Date());
}

/** Reads the whole file once, so that every tool finds it in the page cache. */
export function warm(file: string): void {
  const handle = openSync(file, 'r');
  const chunk = Buffer.alloc(4 * MIB);
  while (readSync(handle, chunk) > 0);
  closeSync(handle);
}

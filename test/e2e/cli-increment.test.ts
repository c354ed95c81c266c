/** What an increment costs: measured in bytes of the repository's folder, by `du`. */
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { Cli, EXIT, sha256 } from './command/harness.ts';

const MIB = 1024 * 1024;
const BLOCK = 65_536;
const DISK_BYTES = 512 * MIB;

it('an increment of 1 % of a disk’s blocks costs at most 1.2 % of a full capture', async () => {
  using scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  const disk = scratch.file('disk.raw');
  const bytesNow = async (): Promise<number> => {
    const { stdout } = await run('du', ['--bytes', '--summarize', repository]);
    return Number(stdout.split('\t')[0]);
  };
  await cli.json('init', repository);
  const empty = await bytesNow();
  const content = randomBytes(DISK_BYTES, 1);
  writeFileSync(disk, content);
  await cli.json('capture', repository, disk, '--machine', 'web01');
  const full = (await bytesNow()) - empty;

  const random = seededRandom(2);
  const blocks = new Set<number>();
  while (blocks.size < DISK_BYTES / BLOCK / 100) {
    blocks.add(Math.floor(random() * (DISK_BYTES / BLOCK)));
  }
  for (const block of blocks) content.set(randomBytes(BLOCK, 1000 + block), block * BLOCK);
  writeFileSync(disk, content);
  await cli.json('capture', repository, disk, '--machine', 'web01');
  const increment = (await bytesNow()) - empty - full;

  process.stderr.write(
    `full ${full} bytes, increment of ${blocks.size} blocks ${increment} bytes: ` +
      `${((increment / full) * 100).toFixed(3)} %\n`,
  );
  // Incompressible data: the blocks alone are 1 %. Less would mean that something was not stored.
  expect(increment / full).toBeGreaterThanOrEqual(0.0099);
  expect(increment / full).toBeLessThanOrEqual(0.012);
  const { status, stdout } = await cli.run('read', repository, 'web01@latest');
  expect(status).toBe(EXIT.ok);
  expect(sha256(stdout)).toBe(sha256(content));
});

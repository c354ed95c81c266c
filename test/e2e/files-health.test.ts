/** How far a volume can be trusted, told wherever its files are. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeDirty, recoveredByKernel } from '../fixtures/file-systems/ext-dirty.ts';
import { LOG_RECIPES } from '../fixtures/file-systems/ext-dirty-recipes.ts';
import { listMounted } from '../fixtures/file-systems/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { findTool } from '../fixtures/tools/index.ts';
import { Cli, EXIT } from './command/harness.ts';
import { comparable, type JsonListing, listByCommand } from './inspect/listing.ts';

const scratch = new Scratch();
const cli = new Cli(scratch);
const repository = scratch.file('repository');
let missing: string | undefined;
let image: string;

beforeAll(async () => {
  missing = await LoopDevice.missing(scratch.file('loop'));
  if (missing === undefined && findTool('xfs_io') === undefined) missing = 'not installed: xfs_io';
  const [recipe] = LOG_RECIPES;
  if (missing !== undefined || recipe === undefined) return;
  image = await makeDirty(scratch.path, recipe);
  await cli.json('init', repository);
  await cli.json('capture', repository, '--machine', 'dirty', image);
});
afterAll(() => scratch[Symbol.dispose]());

describe('a volume that was in use', () => {
  it('is listed as the kernel shows it after its recovery', async (context) => {
    context.skip(missing !== undefined, missing);
    const expected = await recoveredByKernel(image, listMounted);
    const listing = await listByCommand(cli, repository, 'dirty@latest:/');
    expect(comparable(listing)).toEqual(comparable(expected));
  });

  it('says so in every command', async (context) => {
    context.skip(missing !== undefined, missing);
    for (const command of [['ls'], ['ls', '-l'], ['stat'], ['tree'], ['find']]) {
      const { status, stderr } = await cli.run(...command, repository, 'dirty@latest:/');
      expect([command, status]).toEqual([command, EXIT.ok]);
      expect(stderr).toMatch(/warning: volume disk0\/p1 \(ext4\) is journal replayed/);
    }
    const { listings } = await cli.json<{ listings: JsonListing[] }>(
      ...['ls', repository, 'dirty@latest:/'],
    );
    expect(listings.map(({ health }) => health.state)).toEqual(['journal replayed']);
    const { stdout } = await cli.run('volumes', repository, 'dirty@latest');
    expect(stdout.toString()).toMatch(/p1 .*ext4 .*journal replayed/);
  });
});

describe('a repository that is damaged', () => {
  it('gives what can be read, says what cannot, and never wrong bytes', async (context) => {
    context.skip(missing !== undefined, missing);
    const location = scratch.file('damaged');
    const plain = scratch.file('plain.raw');
    writeFileSync(plain, readFileSync(image));
    await cli.json('init', location);
    await cli.json('capture', location, '--machine', 'any', plain);
    const { found } = await cli.json<{ found: { path: string; size: number }[] }>(
      ...['find', location, 'any@latest:/', '-type', 'f'],
    );
    const addresses = found.map((file) => `any@latest:${file.path}`);
    const whole = await cli.run('cat', location, ...addresses);
    damagePacks(location);
    const broken = await cli.run('cat', location, ...addresses);
    expect(broken.status).toBe(EXIT.corrupt);
    expect(broken.stderr).toMatch(/not what was stored|does not decompress|damaged/);
    expect(broken.stdout.length).toBeLessThan(whole.stdout.length);
    // What did come is whole files, each with its own bytes.
    let from = 0;
    let at = 0;
    for (const { size } of found) {
      const own = whole.stdout.subarray(from, from + size);
      if (broken.stdout.subarray(at, at + size).equals(own)) at += size;
      from += size;
    }
    expect(at).toBe(broken.stdout.length);
  });
});

/** Flips a bit in every 512 bytes of each pack's last nine tenths. */
function damagePacks(location: string): void {
  for (const entry of readdirSync(`${location}/packs`, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = `${entry.parentPath}/${entry.name}`;
    const bytes = readFileSync(file);
    for (let at = Math.floor(bytes.length / 10); at < bytes.length - 4096; at += 512) {
      bytes[at] = (bytes[at] as number) ^ 1;
    }
    writeFileSync(file, bytes);
  }
}

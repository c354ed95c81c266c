/** A capture that meets a full disk leaves the repository as it was, and the next one works. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch } from '../fixtures/repository.ts';
import { Cli, EXIT, filesIn, sha256 } from './command/harness.ts';

const MIB = 1024 * 1024;
const FILE_SYSTEM_BYTES = 40 * MIB;

/** A small file system of its own; `undefined` where mounting is not allowed. */
class SmallFileSystem implements Disposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static mount(folder: string): SmallFileSystem | undefined {
    mkdirSync(folder);
    const options = `size=${FILE_SYSTEM_BYTES}`;
    const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
    return status === 0 ? new SmallFileSystem(folder) : undefined;
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  [Symbol.dispose](): void {
    spawnSync('umount', [this.folder]);
  }
}

describe('a full disk', () => {
  let scratch: Scratch;
  let small: SmallFileSystem | undefined;
  let cli: Cli;
  beforeEach((context) => {
    scratch = new Scratch();
    small = SmallFileSystem.mount(scratch.file('small'));
    cli = new Cli(scratch);
    context.skip(small === undefined, 'mounting a tmpfs is not allowed here');
  });
  afterEach(() => {
    small?.[Symbol.dispose]();
    scratch[Symbol.dispose]();
  });

  it('ends a capture with exit status 8, harms nothing, and the next one works', async () => {
    const location = path.join(mounted(), 'repository');
    const first = randomBytes(8 * MIB, 1);
    const disk = scratch.file('disk.raw');
    await cli.json('init', location);
    writeFileSync(disk, first);
    const capture = ['capture', location, disk, '--machine', 'web01'] as const;
    await cli.json(...capture, '--at', '2026-01-01T00:00:00Z');
    const files = filesIn(location);

    writeFileSync(disk, randomBytes(48 * MIB, 2));
    const { status, error } = await cli.failure(...capture);
    expect(status).toBe(EXIT.noSpace);
    expect(error.code).toBe('NO_SPACE');
    expect(error.message).toMatch(/ENOSPC|no space/i);
    expect(filesIn(location)).toEqual(files);
    await expectWhole(location, 'web01@2026-01-01T00:00:00Z', first);

    // Room again, here because the next disk needs less.
    const third = randomBytes(9 * MIB, 3);
    writeFileSync(disk, third);
    await cli.json(...capture, '--at', '2026-01-03T00:00:00Z');
    await expectWhole(location, 'web01@2026-01-01T00:00:00Z', first);
    await expectWhole(location, 'web01@latest', third);
  });

  it('met at any later moment, down to the last object that is published, does the same', async () => {
    const location = path.join(mounted(), 'repository');
    const filler = path.join(mounted(), 'filler');
    const first = randomBytes(2 * MIB, 4);
    const disk = scratch.file('disk.raw');
    await cli.json('init', location);
    writeFileSync(disk, first);
    const capture = ['capture', location, disk, '--machine', 'web01'] as const;
    await cli.json(...capture, '--at', '2026-01-01T00:00:00Z');
    writeFileSync(disk, randomBytes(2 * MIB, 5));
    // Little by little more room, until it is enough: each failure is met a little later.
    let failures = 0;
    for (let roomBytes = 2 * MIB; ; roomBytes += 8 * 1024) {
      expect(roomBytes, 'room given').toBeLessThan(4 * MIB);
      rmSync(filler, { force: true });
      writeFileSync(filler, Buffer.alloc(Math.max(0, (small?.freeBytes ?? 0) - roomBytes)));
      const files = filesIn(location);
      const { status } = await cli.run(...capture, '--at', '2026-01-02T00:00:00Z');
      if (status === EXIT.ok) break;
      expect(status).toBe(EXIT.noSpace);
      expect(filesIn(location)).toEqual(files);
      failures += 1;
    }
    expect(failures).toBeGreaterThan(1);
    await expectWhole(location, 'web01@2026-01-01T00:00:00Z', first);
    await expectWhole(location, 'web01@latest', randomBytes(2 * MIB, 5));
  });

  function mounted(): string {
    if (small === undefined) throw new Error('nothing is mounted');
    return small.folder;
  }

  async function expectWhole(
    location: string,
    address: string,
    content: Uint8Array,
  ): Promise<void> {
    const report = await cli.json('verify', location, '--all');
    expect(report).toMatchObject({ clean: true, unreferencedPacks: 0 });
    const { status, stdout } = await cli.run('read', location, address);
    expect(status).toBe(EXIT.ok);
    expect(sha256(stdout)).toBe(sha256(content));
  }
});

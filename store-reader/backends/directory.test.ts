import { spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { backendSuite } from '../../test/conformance/backend-suite.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { DirectoryBackend } from './directory.ts';

const OBJECTS = 300;
const OBJECT_BYTES = 256 * 1024;

backendSuite('a directory', async () => {
  const scratch = new Scratch();
  return {
    backend: new DirectoryBackend(scratch.path),
    other: new DirectoryBackend(scratch.path),
    dispose: async () => scratch[Symbol.dispose](),
  };
});

describe('a directory', () => {
  it('reads more large objects at once than it keeps open', async () => {
    using scratch = new Scratch();
    const content = (number: number): Buffer => Buffer.alloc(OBJECT_BYTES, `object ${number} `);
    for (let number = 0; number < OBJECTS; number += 1) {
      writeFileSync(scratch.file(`${number}`), content(number));
    }
    const backend = new DirectoryBackend(scratch.path);
    const reads = Array.from({ length: OBJECTS }, async (_, number) => {
      const bytes = Buffer.alloc(OBJECT_BYTES);
      await backend.readInto(`${number}`, bytes, 0);
      return bytes.equals(content(number));
    });
    // Closing gives back what nobody reads from, and waits for no one.
    await backend.close();
    expect(new Set(await Promise.all(reads))).toEqual(new Set([true]));
    const left = readdirSync('/proc/self/fd').filter((descriptor) => {
      try {
        return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(scratch.path);
      } catch {
        return false;
      }
    });
    expect(left).toEqual([]);
  });

  it('tidies away what a killed process of this machine left, and nothing of others', async () => {
    using scratch = new Scratch();
    const module = path.join(import.meta.dirname, 'directory.ts');
    const program = `
      import { DirectoryBackend } from ${JSON.stringify(module)};
      const sink = await new DirectoryBackend(${JSON.stringify(scratch.path)}).create('packs/ab/1');
      await sink.write(Buffer.from('half'));
      process.kill(process.pid, 'SIGKILL');`;
    const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
    expect(signal).toBe('SIGKILL');
    const [left] = readdirSync(scratch.file('tmp'));
    if (left === undefined) throw new Error('the killed process left nothing');
    const foreign = left.replace(/^[^~]+/, 'elsewhere');
    for (const name of [foreign, 'strange']) {
      writeFileSync(path.join(scratch.file('tmp'), name), 'half');
    }
    const backend = new DirectoryBackend(scratch.path);
    await backend.tidy();
    await backend.close();
    expect(readdirSync(scratch.file('tmp')).sort()).toEqual([foreign, 'strange'].sort());
  });

  it('leaves no half-written files behind, and shuts others out', async () => {
    using scratch = new Scratch();
    const backend = new DirectoryBackend(scratch.path);
    await backend.put('points/ab/1', Buffer.from('content'));
    await backend.putIfAbsent('points/ab/1', Buffer.from('content'));
    await backend.close();
    expect(readdirSync(scratch.file('tmp'))).toEqual([]);
    expect(statSync(scratch.file('points/ab/1')).mode & 0o007).toBe(0);
  });
});

/** What code in an inspector can do, and what becomes of one that takes too much. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
// oxlint-disable-next-line no-restricted-imports -- the cache alone
import { enableCompileCache, getCompileCacheDir } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { Inspector, type InspectorOptions, type InspectRequests } from '../../server/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { isAlive } from './command/harness.ts';
import type { ProbeBody } from './inspect/probe.ts';

const PROBE = path.join(import.meta.dirname, 'inspect/probe.ts');
const MIB = 1024 * 1024;

const scratch = new Scratch();
const repository = scratch.file('repository');

beforeAll(() => {
  mkdirSync(repository);
  writeFileSync(path.join(repository, 'object'), 'of the repository');
  writeFileSync(scratch.file('beside'), 'not of the repository');
});
afterAll(() => scratch[Symbol.dispose]());

/** Every file below a folder, by path. */
function contentsOf(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.map((name) => path.join(folder, name));
  return new Map(
    files
      .filter((file) => statSync(file).isFile())
      .map((file) => [file, readFileSync(file, 'base64')]),
  );
}

/** What the attempt told. */
async function attempt(
  body: ProbeBody,
  more: Partial<InspectorOptions> = {},
): Promise<{ readonly told: string; readonly processId: number }> {
  const options = { repository, credential: undefined, output: 'pipe', program: PROBE } as const;
  const inspector = Inspector.start({ ...options, ...more });
  const told: string[] = [];
  try {
    await inspector.request('stat', body as unknown as InspectRequests['stat'], (remark) => {
      told.push(remark.kind === 'warning' ? remark.message : remark.error.message);
    });
    return { told: told.join('\n'), processId: inspector.processId ?? 0 };
  } finally {
    await inspector.close();
    expect(isAlive(inspector.processId ?? 0)).toBe(false);
  }
}

describe('an inspector', () => {
  it('reads the repository', async () => {
    const { told } = await attempt({ attempt: 'read', path: path.join(repository, 'object') });
    expect(told).toBe('done: 17');
  });

  it('reads it through a symbolic link too', async () => {
    const link = scratch.file('link');
    symlinkSync(repository, link);
    const body = { attempt: 'read', path: path.join(repository, 'object') } as const;
    expect((await attempt(body, { repository: link })).told).toBe('done: 17');
  });

  it.each(['/etc/passwd', '/etc/hostname', '/proc/self/environ', '/proc/1/cmdline', '/'])(
    'cannot read %s',
    async (file) => {
      const { told } = await attempt({ attempt: 'read', path: file });
      expect(told).toContain('refused: ERR_ACCESS_DENIED');
    },
  );

  it('cannot read what lies beside the repository', async () => {
    const { told } = await attempt({ attempt: 'read', path: scratch.file('beside') });
    expect(told).toContain('refused: ERR_ACCESS_DENIED');
  });

  it.each(['write', 'link'] as const)('cannot %s a file anywhere', async (what) => {
    const cache = process.env['NODE_COMPILE_CACHE'];
    const folders = [repository, scratch.path, '/tmp', import.meta.dirname];
    for (const folder of cache === undefined ? folders : [...folders, cache]) {
      const file = path.join(folder, 'written-by-an-inspector');
      const { told } = await attempt({ attempt: what, path: file });
      expect(told).toContain('refused: ERR_ACCESS_DENIED');
      expect(existsSync(file)).toBe(false);
    }
  });

  it.each(['start', 'thread', 'library', 'binding'] as const)(
    'cannot get out by a %s',
    async (what) => {
      expect((await attempt({ attempt: what })).told).toMatch(/^refused: /);
    },
  );

  it.each(['evaluate', 'datagram'] as const)('cannot %s', async (what) => {
    expect((await attempt({ attempt: what })).told).toMatch(/^refused: /);
  });

  it.each(['kill', 'rawKill', 'debug'] as const)(
    'cannot send signals to other processes (%s)',
    async (what) => {
      let isReached = false;
      const note = (): void => {
        isReached = true;
      };
      process.on('SIGUSR1', note);
      try {
        const { told } = await attempt({ attempt: what, path: String(process.pid) });
        expect(told).toMatch(/^refused: /);
      } finally {
        process.off('SIGUSR1', note);
      }
      expect(isReached).toBe(false);
    },
  );

  it.each(['database', 'listen'] as const)('cannot make a file with a %s', async (what) => {
    const file = scratch.file(`made-by-${what}`);
    expect((await attempt({ attempt: what, path: file })).told).toMatch(/^refused: /);
    expect(existsSync(file)).toBe(false);
  });

  it('cannot make V8 write a file', async () => {
    const file = scratch.file('traces');
    const error: unknown = await attempt({ attempt: 'trace', path: file }).catch(
      (thrown) => thrown,
    );
    expect(isRestoreError(error, 'IO')).toBe(true);
    expect(existsSync(file)).toBe(false);
  });

  it.each(['a service of this machine', 'a socket in the file system'])(
    'cannot reach %s',
    async (what) => {
      const server = createServer((socket) => socket.destroy());
      const file = scratch.file('service');
      const isFile = what.includes('file');
      await new Promise<void>((resolve) => {
        if (isFile) server.listen(file, resolve);
        else server.listen(0, '127.0.0.1', resolve);
      });
      const target = isFile ? file : String((server.address() as AddressInfo).port);
      try {
        expect((await attempt({ attempt: 'connect', path: target })).told).toMatch(/^refused: /);
      } finally {
        server.close();
      }
    },
  );

  it('cannot change what other processes run from the cache of compiled code', async () => {
    const cache = getCompileCacheDir();
    if (cache === undefined) enableCompileCache(scratch.file('cache'));
    const folder = getCompileCacheDir() as string;
    // The first one fills it, before it is asked anything.
    await attempt({ attempt: 'read', path: repository });
    const before = contentsOf(folder);
    const { told } = await attempt({ attempt: 'poison' });
    expect(told).toMatch(/^done: /);
    expect(contentsOf(folder)).toEqual(before);
    expect(before.size).toBeGreaterThan(0);
  });

  it('that never stops talking is not listened to for ever', async () => {
    const { told } = await attempt({ attempt: 'flood' });
    const lines = told.split('\n');
    expect(lines).toHaveLength(10_001);
    expect(lines.at(-1)).toContain('more remarks');
  });

  it('that talks nonsense harms nobody, and moves no cursor', async () => {
    const { told } = await attempt({ attempt: 'crooked' });
    expect(told).not.toMatch(/[\p{Cc}\p{Cf}](?<!\n)/u);
    expect(told).toContain('\\x1b]0;owned');
    expect(told).toContain('done: ');
  });

  it.each(['heap', 'buffers'] as const)(
    'is ended when its %s grow beyond its memory',
    async (what) => {
      const startedMs = performance.now();
      const limits = { memoryBytes: 200 * MIB };
      const error: unknown = await attempt({ attempt: what }, { limits }).catch((thrown) => thrown);
      expect(isRestoreError(error, 'LIMIT')).toBe(true);
      expect(performance.now() - startedMs).toBeLessThan(20_000);
    },
  );

  it('is ended when it hangs', async () => {
    const limits = { silentMs: 1_000 };
    const error: unknown = await attempt({ attempt: 'hang' }, { limits }).catch((thrown) => thrown);
    expect(isRestoreError(error, 'LIMIT')).toBe(true);
  });

  it('is left alone when it waits', async () => {
    const { told } = await attempt({ attempt: 'wait' }, { limits: { silentMs: 1_000 } });
    expect(told).toBe('done: timed-out');
  });

  it.each(['die', 'leave'] as const)('that ends by itself (%s) is an error', async (what) => {
    const error: unknown = await attempt({ attempt: what }).catch((thrown) => thrown);
    expect(isRestoreError(error, 'IO')).toBe(true);
  });
});

/** What somebody on the target machine, or an inspector that was taken over, tries while a copy runs. */
import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import type { CopyEntry } from '../../server/index.ts';
import { mounted } from '../../test/fixtures/file-systems/exfat.ts';
import { LoopDevice } from '../../test/fixtures/loop-device.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { findTool, run } from '../../test/fixtures/tools/index.ts';
import { Extractor } from './extractor.ts';
import { loadCLibrary } from './libc.ts';
import type { ExtractOptions } from './metadata.ts';

const library = await loadCLibrary();
const isRoot = process.getuid?.() === 0;
const NOTHING: ExtractOptions = {
  ...{ force: false, acls: false, streams: false, devices: false, keepPartial: false },
};
const WHEN = { seconds: 1_600_000_000, nanoseconds: 0 };
/** cap_setuid=ep, as setcap(8) writes it. */
const CAPABILITY = Buffer.from('0100000280000000000000000000000000000000', 'hex');
const ATTRIBUTES: [string, string][] = [
  ['security.capability', CAPABILITY.toString('base64')],
  ['trusted.overlay.opaque', Buffer.from('y').toString('base64')],
  ['user.note', Buffer.from('kept').toString('base64')],
  ['user.cut\0here', Buffer.from('x').toString('base64')],
];

interface Bench {
  readonly extractor: Extractor;
  readonly target: string;
  readonly scratch: Scratch;
}

function withExtractor(options: Partial<ExtractOptions>, body: (bench: Bench) => void): void {
  using scratch = new Scratch();
  const target = scratch.file('target');
  mkdirSync(target);
  const extractor = new Extractor(target, true, { ...NOTHING, ...options }, library);
  try {
    body({ extractor, target, scratch });
  } finally {
    extractor.close();
  }
}

function entryOf(where: string[], more: Partial<CopyEntry> = {}): CopyEntry {
  return { path: where, kind: 'file', size: 0, modified: WHEN, mode: 0o644, ...more };
}

function directory(where: string[]): CopyEntry {
  return entryOf(where, { kind: 'directory', mode: 0o755 });
}

function put(extractor: Extractor, where: string[], text: string, more = {}): void {
  const bytes = Buffer.from(text);
  extractor.begin(entryOf(where, { size: bytes.byteLength, ...more }));
  extractor.write(0, bytes);
  extractor.finish();
}

function codeOf(action: () => void): string | undefined {
  try {
    action();
  } catch (error) {
    return isRestoreError(error) ? error.code : (error as NodeJS.ErrnoException).code;
  }
  return undefined;
}

/** Names of all attributes, as getfattr tells them. */
function attributesOf(file: string): string[] {
  const { stdout } = spawnSync('getfattr', ['--match=-', '--absolute-names', file]);
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .sort();
}

/** The one file that is being written. */
function temporaryIn(folder: string): string {
  const [name = ''] = readdirSync(folder).filter((each) => each.startsWith('.rehydrate-'));
  return path.join(folder, name);
}

describe('attributes that are handed over', () => {
  it.for<[string, Partial<ExtractOptions>, string[]]>([
    ['none when none were asked for', {}, []],
    ['those of streams alone when these were', { streams: true }, ['user.note']],
    [
      'all when they were, none under half its name',
      { acls: true },
      ['security.capability', 'trusted.overlay.opaque', 'user.note'],
    ],
  ])('are set: %s', ([, options, expected], context) => {
    context.skip(!isRoot || findTool('getfattr') === undefined, 'needs root and getfattr');
    withExtractor(options, ({ extractor, target }) => {
      put(extractor, ['file'], 'x', { xattrs: ATTRIBUTES });
      extractor.begin(directory(['folder']));
      extractor.complete();
      expect(attributesOf(`${target}/file`)).toEqual(expected);
    });
  });
});

describe('a file that is being written', () => {
  it('leaves alone what a link in its place leads to', () => {
    withExtractor({ acls: true }, ({ extractor, target, scratch }) => {
      const secret = scratch.file('secret');
      writeFileSync(secret, 'untouched', { mode: 0o600 });
      extractor.begin(entryOf(['file'], { size: 1, mode: 0o6777, uid: 1234, gid: 1234 }));
      extractor.write(0, Buffer.from('x'));
      const temporary = temporaryIn(target);
      renameSync(temporary, `${target}/stolen`);
      symlinkSync(secret, temporary);
      extractor.finish();
      const { mode, uid, mtimeMs } = statSync(secret);
      expect({ mode: mode & 0o7777, uid }).toEqual({ mode: 0o600, uid: process.getuid?.() });
      expect(mtimeMs).toBeGreaterThan(WHEN.seconds * 2000 - Date.now());
      expect(mtimeMs).not.toBe(WHEN.seconds * 1000);
    });
  });

  it('lends its owner’s rights to nothing that takes its place', () => {
    withExtractor({ acls: true }, ({ extractor, target }) => {
      extractor.begin(entryOf(['file'], { size: 1, mode: 0o4755, uid: 0, gid: 0 }));
      extractor.write(0, Buffer.from('x'));
      const temporary = temporaryIn(target);
      renameSync(temporary, `${target}/stolen`);
      writeFileSync(temporary, 'evil', { mode: 0o755 });
      extractor.finish();
      expect(readFileSync(`${target}/file`, 'utf8')).toBe('evil');
      expect(statSync(`${target}/file`).mode & 0o7777).toBe(0o755);
    });
  });

  it('stays in part beside what has that name already', () => {
    withExtractor({ keepPartial: true }, ({ extractor, target }) => {
      writeFileSync(`${target}/cut.partial`, 'mine');
      extractor.begin(entryOf(['cut'], { size: 10 }));
      extractor.write(0, Buffer.from('12345'));
      extractor.abandon();
      expect(readdirSync(target).sort()).toEqual(['cut.partial', 'cut.partial2']);
      expect(readFileSync(`${target}/cut.partial`, 'utf8')).toBe('mine');
      expect(readFileSync(`${target}/cut.partial2`, 'utf8')).toBe('12345');
    });
  });

  it('gets no more rights for others than a new file does', () => {
    withExtractor({}, ({ extractor, target }) => {
      put(extractor, ['open'], 'x', { mode: 0o777 });
      expect(statSync(`${target}/open`).mode & 0o7777).toBe(0o777 & ~process.umask());
    });
  });
});

describe('one name twice', () => {
  it.each(['file', 'symlink', 'link to itself'])('does not replace the first: %s', (what) => {
    withExtractor({ force: true }, ({ extractor, target }) => {
      writeFileSync(`${target}/name`, 'older');
      put(extractor, ['name'], 'first');
      const second = {
        file: () => put(extractor, ['name'], 'second'),
        symlink: () => extractor.begin(entryOf(['name'], { kind: 'symlink', target: 'elsewhere' })),
        'link to itself': () => extractor.begin(entryOf(['name'], { sameAs: ['name'] })),
      }[what] as () => void;
      expect(codeOf(second)).toBe('EXISTS');
      extractor.abandon();
      expect(readFileSync(`${target}/name`, 'utf8')).toBe('first');
      expect(readdirSync(target)).toEqual(['name']);
    });
  });

  it('does not pour two directories into one', () => {
    withExtractor({}, ({ extractor, target }) => {
      mkdirSync(`${target}/there`);
      extractor.begin(directory(['there']));
      put(extractor, ['there', 'into what was there'], 'x');
      extractor.begin(directory(['new']));
      expect(codeOf(() => extractor.begin(directory(['new'])))).toBe('EXISTS');
      expect(codeOf(() => put(extractor, ['new', 'file'], 'x'))).toBe('EXISTS');
      expect(readdirSync(`${target}/new`)).toEqual([]);
    });
  });
});

describe('an exFAT target, which has no hard links, owners or case', () => {
  const missing = ['mkfs.exfat', 'mount.exfat-fuse', 'losetup'].find(
    (t) => findTool(t) === undefined,
  );

  async function onExfat(options: Partial<ExtractOptions>, body: (bench: Bench) => void) {
    using scratch = new Scratch();
    const device = await LoopDevice.attach(scratch.file('image'), 16 * 1024 * 1024, []);
    try {
      await run('mkfs.exfat', [device.path]);
      await mounted(device.path, scratch.file('mount'), (target) => {
        const extractor = new Extractor(target, false, { ...NOTHING, ...options }, library);
        try {
          body({ extractor, target, scratch });
        } finally {
          extractor.close();
        }
      });
    } finally {
      await device.detach();
    }
  }

  it.for([{ force: false }, { force: true }])(
    'takes files all the same, %o',
    async (options, context) => {
      context.skip(!isRoot || missing !== undefined, `needs root and ${missing ?? ''}`);
      await onExfat({ ...options, acls: true }, ({ extractor, target }) => {
        put(extractor, ['file'], 'content', { mode: 0o6640, uid: 1234, gid: 1234 });
        extractor.begin(entryOf(['again'], { size: 7, sameAs: ['file'] }));
        expect(readdirSync(target).sort()).toEqual(['again', 'file']);
        for (const name of ['again', 'file']) {
          expect(readFileSync(`${target}/${name}`, 'utf8')).toBe('content');
          expect(lstatSync(`${target}/${name}`).mode & 0o6000).toBe(0);
        }
        extractor.complete();
        expect(extractor.shortcomings.length).toBeGreaterThan(0);
      });
    },
  );

  it.for([{ force: false }, { force: true }])(
    'keeps twins by case apart, %o',
    async (options, context) => {
      context.skip(!isRoot || missing !== undefined, `needs root and ${missing ?? ''}`);
      await onExfat(options, ({ extractor, target }) => {
        put(extractor, ['name'], 'first');
        expect(codeOf(() => put(extractor, ['NAME'], 'second'))).toBe('EXISTS');
        extractor.begin(directory(['folder']));
        put(extractor, ['folder', 'file'], 'first');
        expect(codeOf(() => extractor.begin(directory(['FOLDER'])))).toBe('EXISTS');
        expect(codeOf(() => put(extractor, ['FOLDER', 'file'], 'second'))).toBe('EXISTS');
        expect(codeOf(() => put(extractor, ['FOLDER', 'other'], 'second'))).toBe('EXISTS');
        expect(readdirSync(target).sort()).toEqual(['folder', 'name']);
        expect(readdirSync(`${target}/folder`)).toEqual(['file']);
        for (const name of ['name', 'folder/file']) {
          expect(readFileSync(`${target}/${name}`, 'utf8')).toBe('first');
        }
      });
    },
  );

  it('keeps what is there', async (context) => {
    context.skip(!isRoot || missing !== undefined, `needs root and ${missing ?? ''}`);
    await onExfat({}, ({ extractor, target }) => {
      writeFileSync(`${target}/mine`, 'mine');
      expect(codeOf(() => put(extractor, ['MINE'], 'theirs'))).toBe('EXISTS');
      extractor.begin(entryOf(['late'], { size: 1 }));
      extractor.write(0, Buffer.from('x'));
      writeFileSync(`${target}/LATE`, 'mine');
      expect(codeOf(() => extractor.finish())).toBe('EEXIST');
      expect(readdirSync(target).sort()).toEqual(['LATE', 'mine']);
      expect(readFileSync(`${target}/late`, 'utf8')).toBe('mine');
    });
  });
});

import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isRestoreError, nameFromBytes } from '../../core/index.ts';
import type { CopyEntry } from '../../server/index.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { Extractor } from './extractor.ts';
import { loadCLibrary } from './libc.ts';
import type { ExtractOptions } from './metadata.ts';

const library = await loadCLibrary();
const PLAIN: ExtractOptions = {
  ...{ force: false, acls: false, streams: false, devices: false, keepPartial: false },
};
const WHEN = { seconds: 1_600_000_000, nanoseconds: 123_456_789 };

function entryOf(path: string[], more: Partial<CopyEntry> = {}): CopyEntry {
  return { path, kind: 'file', size: 0, modified: WHEN, mode: 0o644, uid: 0, gid: 0, ...more };
}

function directory(path: string[], more: Partial<CopyEntry> = {}): CopyEntry {
  return entryOf(path, { kind: 'directory', mode: 0o755, ...more });
}

interface Bench {
  readonly extractor: Extractor;
  readonly target: string;
  readonly outside: string;
}

function withExtractor(body: (bench: Bench) => void, options: Partial<ExtractOptions> = {}): void {
  using scratch = new Scratch();
  const target = scratch.file('target');
  const outside = scratch.file('outside');
  mkdirSync(target);
  mkdirSync(outside);
  writeFileSync(`${outside}/secret`, 'untouched');
  const extractor = new Extractor(target, true, { ...PLAIN, ...options }, library);
  try {
    body({ extractor, target, outside });
  } finally {
    extractor.close();
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(readFileSync(`${outside}/secret`, 'utf8')).toBe('untouched');
  }
}

function put(extractor: Extractor, path: string[], text: string, more = {}): void {
  const bytes = Buffer.from(text);
  extractor.begin(entryOf(path, { size: bytes.byteLength, ...more }));
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

describe('what an inspector hands over', () => {
  it.each([
    ['..', ['..', 'outside', 'evil']],
    ['a dot', ['.', 'evil']],
    ['a slash', ['../outside/evil']],
    ['an absolute path', ['/etc/evil']],
    ['a NUL', ['evil\0.txt']],
    ['nothing', ['']],
    ['256 bytes', ['é'.repeat(128)]],
  ])('is refused with %s for a name', (_, path) => {
    withExtractor(({ extractor, target }) => {
      expect(codeOf(() => extractor.begin(entryOf(path)))).toBe('INVALID');
      expect(codeOf(() => extractor.begin(directory(path)))).toBe('INVALID');
      const link = entryOf(path, { kind: 'symlink', target: 'x' });
      expect(codeOf(() => extractor.begin(link))).toBe('INVALID');
      expect(readdirSync(target)).toEqual([]);
    });
  });

  it('is not written through a link that it made itself', () => {
    withExtractor(({ extractor, outside, target }) => {
      extractor.begin(entryOf(['way'], { kind: 'symlink', target: outside }));
      expect(codeOf(() => put(extractor, ['way', 'evil'], 'x'))).toBe('ENOTDIR');
      expect(codeOf(() => extractor.begin(directory(['way'])))).toBe('ENOTDIR');
      expect(codeOf(() => extractor.begin(directory(['way', 'evil'])))).toBe('ENOTDIR');
      const twin = entryOf(['twin'], { sameAs: ['way', 'secret'] });
      expect(codeOf(() => extractor.begin(twin))).toBe('ENOTDIR');
      expect(readlinkSync(`${target}/way`)).toBe(outside);
    });
  });

  it('is not written through a link that somebody else puts in its way', () => {
    withExtractor(({ extractor, outside, target }) => {
      extractor.begin(directory(['d']));
      put(extractor, ['d', 'first'], '1');
      renameSync(`${target}/d`, `${target}/moved`);
      symlinkSync(outside, `${target}/d`);
      put(extractor, ['d', 'second'], '2');
      expect(readdirSync(`${target}/moved`).sort()).toEqual(['first', 'second']);
      put(extractor, ['other'], '3');
      expect(codeOf(() => put(extractor, ['d', 'third'], '3'))).toBe('ENOTDIR');
    });
  });

  it('replaces nothing unasked, a link neither', () => {
    withExtractor(({ extractor, outside, target }) => {
      writeFileSync(`${target}/mine`, 'mine');
      symlinkSync(`${outside}/secret`, `${target}/link`);
      expect(codeOf(() => put(extractor, ['mine'], 'theirs'))).toBe('EXISTS');
      expect(codeOf(() => put(extractor, ['link'], 'theirs'))).toBe('EXISTS');
      expect(readFileSync(`${target}/mine`, 'utf8')).toBe('mine');
    });
  });

  it('replaces a link itself, not what it leads to, when asked to', () => {
    withExtractor(
      ({ extractor, outside, target }) => {
        symlinkSync(`${outside}/secret`, `${target}/link`);
        put(extractor, ['link'], 'theirs');
        expect(lstatSync(`${target}/link`).isFile()).toBe(true);
      },
      { force: true },
    );
  });

  it('has its name only when it is whole', () => {
    withExtractor(({ extractor, target }) => {
      extractor.begin(entryOf(['cut'], { size: 10 }));
      extractor.write(0, Buffer.from('12345'));
      expect(existsSync(`${target}/cut`)).toBe(false);
      extractor.abandon();
      expect(readdirSync(target)).toEqual([]);
    });
  });

  it('stays in part under another name when asked for', () => {
    withExtractor(
      ({ extractor, target }) => {
        extractor.begin(entryOf(['cut'], { size: 10 }));
        extractor.write(0, Buffer.from('12345'));
        extractor.abandon();
        expect(readdirSync(target)).toEqual(['cut.partial']);
      },
      { keepPartial: true },
    );
  });

  it('cannot be longer than it said', () => {
    withExtractor(({ extractor }) => {
      extractor.begin(entryOf(['long'], { size: 4 }));
      expect(codeOf(() => extractor.write(0, Buffer.from('12345')))).toBe('CORRUPT');
      expect(codeOf(() => extractor.write(2 ** 40, Buffer.from('1')))).toBe('CORRUPT');
    });
  });

  it('gets no special mode bits, owner or device unasked', () => {
    withExtractor(({ extractor, target }) => {
      put(extractor, ['suid'], 'x', { mode: 0o6755, uid: 1234, gid: 1234 });
      expect(statSync(`${target}/suid`).mode & 0o7777).toBe(0o755);
      expect(statSync(`${target}/suid`).uid).toBe(process.getuid?.());
      const device = { major: 1, minor: 3 };
      extractor.begin(entryOf(['null'], { kind: 'character-device', device }));
      extractor.begin(entryOf(['pipe'], { kind: 'fifo' }));
      expect(extractor.counts.skippedDevices).toBe(2);
      expect(readdirSync(target)).toEqual(['suid']);
    });
  });

  it('keeps times to the nanosecond, of directories too, and names of any bytes', () => {
    const name = nameFromBytes(Uint8Array.from([0xff, 0x0a, 0x1b]));
    withExtractor(({ extractor, target }) => {
      extractor.begin(directory([]));
      extractor.begin(directory(['d']));
      put(extractor, ['d', name], 'x');
      extractor.begin(entryOf(['l'], { kind: 'symlink', target: 'd' }));
      extractor.complete();
      for (const place of [target, `${target}/d`, `${target}/l`]) {
        expect(lstatSync(place, { bigint: true }).mtimeNs).toBe(1_600_000_000_123_456_789n);
      }
      const [found] = readdirSync(`${target}/d`, { encoding: 'buffer' });
      expect(found?.toString('hex')).toBe('ff0a1b');
    });
  });

  it('holds 1,024 levels and refuses more', () => {
    withExtractor(({ extractor }) => {
      const path = Array.from({ length: 1026 }, () => 'd');
      expect(codeOf(() => extractor.begin(directory(path)))).toBe('LIMIT');
    });
  });
});

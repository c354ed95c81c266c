import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonText, nameForJson, nameFromBytes, nameToBytes, showName, showText } from './index.ts';

/** What a shell makes of the shown names: an independent reader of them. */
function readByShell(shown: readonly string[]): Buffer[] {
  const script = shown.map((name) => `printf '%s\\0' ${name}\n`).join('');
  const { stdout, status, stderr } = spawnSync('bash', ['--norc'], {
    input: script,
    env: { LC_ALL: 'C.UTF-8' },
  });
  expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
  const names: Buffer[] = [];
  for (let at = 0; at < stdout.length; ) {
    const end = stdout.indexOf(0, at);
    names.push(stdout.subarray(at, end));
    at = end + 1;
  }
  return names;
}

const HOSTILE = [
  'plain.txt',
  'two words',
  "it's",
  '$(reboot)',
  '`reboot`',
  '-rf',
  '~root',
  '#notes',
  'line\nbreak',
  'tab\there',
  '\x1b[2J\x1b]0;title\x07',
  '\x9b31m',
  'evil\u202egnp.exe',
  '\u2066isolated\u2069',
  'zero\u200bwidth',
  'no\u00a0break',
  '\u3164',
  '\u0301accent first',
  `z${'\u0353'.repeat(50)}`,
  '\u1100\u1161',
  '\u212b',
  'caf\u00e9',
  'cafe\u0301',
  '\ue000private',
  'back\\slash',
  '<script>alert(1)</script>',
  '日本語 😀',
  '*',
  'a=b',
  '!history',
  '{a,b}',
];

describe('showName', () => {
  it('shows one line without anything that a terminal obeys', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary' })),
        fc.uint8Array({ minLength: 1, maxLength: 20 }),
        (text, bytes) => {
          for (const name of [text, nameFromBytes(bytes)]) {
            const shown = showName(name);
            expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u);
            expect(shown).not.toMatch(/[\u00a0\u115f\u1160\u3164\uffa0]/u);
            expect(shown).not.toBe('');
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('shows what a shell reads as the very bytes of the name', () => {
    const random = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 30 }), 300);
    const names = [
      ...HOSTILE,
      ...random.map((bytes) => nameFromBytes(bytes.map((byte) => (byte === 0 ? 1 : byte)))),
    ];
    const read = readByShell(names.map(showName));
    expect(read).toHaveLength(names.length);
    const bytesOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    expect(read.map(bytesOf)).toEqual(names.map((name) => bytesOf(nameToBytes(name))));
  });

  it('leaves plain names plain, in any language', () => {
    for (const name of ['fstab', 'a.b-c_d', 'Größe.txt', '日本語', 'état', 'C:']) {
      expect(showName(name)).toBe(name);
    }
    expect(showName('two words')).toBe("'two words'");
    expect(showName('')).toBe("''");
  });

  it('shows twins of composition differently', () => {
    expect(showName('caf\u00e9')).toBe('café');
    expect(showName('cafe\u0301')).toBe("$'cafe\\u0301'");
  });

  it('shows twins of letters that are composed otherwise differently', () => {
    for (const name of ['\u1100\u1161\u11a8', '\u212b', '\u2126', 'e\u0323\u0302']) {
      expect(showName(name)).not.toContain(name);
      expect(showName(name.normalize('NFC'))).toBe(name.normalize('NFC'));
    }
  });

  it('lets no letter cover the lines beside it', () => {
    const flood = `z${'\u0353'.repeat(200)}`;
    expect(showName(flood)).toMatch(/^\$'z\u0353{1,4}(\\u0353){196,}'$/);
    expect(showName('ที่')).toBe('ที่');
  });
});

describe('jsonText', () => {
  it('reads as the same, and holds nothing that a terminal obeys', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary' })), (name) => {
        const text = jsonText({ [name]: [name, 1, null] });
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify({ [name]: [name, 1, null] })));
      }),
      { numRuns: 1_000 },
    );
  });

  it('leaves text in any language as it is', () => {
    expect(jsonText({ name: 'Größe 日本語 😀' })).toBe('{"name":"Größe 日本語 😀"}');
  });
});

describe('showText', () => {
  it('leaves nothing that a terminal obeys', () => {
    for (const text of HOSTILE) expect(showText(text)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe('nameForJson', () => {
  it('gives the bytes where the name is no valid text', () => {
    const bytes = Buffer.from([0x61, 0xff, 0x62]);
    const shown = JSON.parse(JSON.stringify(nameForJson(nameFromBytes(bytes)))) as {
      name: string;
      nameBytes: string;
    };
    expect(Buffer.from(shown.nameBytes, 'base64').equals(bytes)).toBe(true);
    expect(Buffer.from(nameToBytes(shown.name)).equals(bytes)).toBe(true);
    expect(nameForJson('fine')).toEqual({ name: 'fine' });
  });
});

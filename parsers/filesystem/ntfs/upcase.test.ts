import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HealthLog } from '../../../core/index.ts';
import { missingForNtfs } from '../../../test/fixtures/file-systems/index.ts';
import { attributeBytes, NtfsScratch } from '../../../test/fixtures/file-systems/ntfs-scratch.ts';
import { makeNtfsVolume } from '../../../test/fixtures/file-systems/ntfs-volume.ts';
import { run } from '../../../test/fixtures/tools/index.ts';
import { type CaseRules, caseRulesOf } from './upcase.ts';

/** Letters whose order and capitals Unicode and Windows do not agree on are among them. */
const NAMES = [
  'a',
  'B',
  '_x',
  '[',
  'Z',
  'z1',
  'é',
  'É2',
  'ÿ',
  'µ',
  'ß',
  'ſ',
  'ı',
  'Ω',
  '中',
  'ﬀ',
  '😀',
];

const reason = missingForNtfs('fls', 'icat');

describe(`the table of capitals${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  let image: string;
  let table: Uint8Array;
  let information: Uint8Array;

  beforeEach((context) => context.skip(scratch === undefined, reason));
  beforeAll(async () => {
    if (scratch === undefined) return;
    image = scratch.file('ordered');
    await makeNtfsVolume(image, {}, (mountPoint) => {
      mkdirSync(path.join(mountPoint, 'ordered'));
      for (const name of NAMES) writeFileSync(path.join(mountPoint, 'ordered', name), '');
    });
    table = await attributeBytes(image, '10');
    information = await attributeBytes(image, '10-128-2');
  });
  afterAll(() => scratch?.remove());

  const rulesOf = (
    ours: Uint8Array | undefined,
    check: Uint8Array | undefined,
  ): { rules: CaseRules; health: HealthLog } => {
    const health = new HealthLog();
    return { rules: caseRulesOf(ours, check, health), health };
  };

  it('orders names as the index has them that ntfs-3g wrote', async () => {
    const { stdout } = await run('fls', ['-u', '-F', '-p', '-r', image], {
      env: { LC_ALL: 'C.UTF-8' },
    });
    const listed = [...stdout.matchAll(/\tordered\/(.+)$/gm)].map(([, name]) => name as string);
    expect(listed.toSorted()).toEqual(NAMES.toSorted());
    const { rules, health } = rulesOf(table, information);
    expect(NAMES.toSorted((one, other) => rules.compare(one, other))).toEqual(listed);
    expect(health.health).toEqual({ state: 'clean', findings: [], omitted: 0 });
  });

  it("folds case as the volume's own table has it, not as Unicode does", () => {
    const { rules } = rulesOf(table, information);
    expect(rules.fold('File Name.TXT')).toBe('FILE NAME.TXT');
    expect(rules.fold('straße')).toBe('STRAßE');
    expect(rules.fold('ıſµ')).toBe('ıſµ');
    expect(rules.fold('ǆéω')).toBe('ǄÉΩ');
    expect(rules.fold('\u{10428} \ud800 \u{1f600}')).toBe('\u{10428} \ud800 \u{1f600}');
    expect(rules.fold('é'.repeat(10_000))).toBe('É'.repeat(10_000));
    expect(rules.compare('FILE', 'file')).toBe(0);
    expect(rules.compare('file', 'file1')).toBeLessThan(0);
    expect(rules.compare('b', 'A')).toBeGreaterThan(0);
  });

  it('finds one wrong letter by the checksum, and many without it', () => {
    const one = Uint8Array.from(table);
    one[0xe9 * 2] = 0x42;
    expect(rulesOf(one, information).health.health.findings).toEqual([
      expect.objectContaining({ where: { structure: '$UpCase' } }),
    ]);
    for (const at of ['a'.charCodeAt(0) * 2, 0x31 * 2, 0xc8 * 2]) {
      const wrong = Uint8Array.from(table);
      wrong[at] = 0xe9;
      wrong[at ^ 1] = 0;
      expect(rulesOf(wrong, undefined).health.health.state).toBe('partly damaged');
    }
    expect(rulesOf(table, information.subarray(0, 8)).health.health.state).toBe('clean');
  });

  it('goes on with the capitals of Unicode when the table is damaged or missing', () => {
    const { rules: right } = rulesOf(table, information);
    for (const damaged of [
      undefined,
      new Uint8Array(0),
      table.subarray(0, 100),
      table.toReversed(),
    ]) {
      const { rules, health } = rulesOf(damaged, undefined);
      expect(health.health.state).toBe('partly damaged');
      for (const name of ['File.txt', 'straße', 'ıſµς', 'éàü ж ω']) {
        expect(rules.fold(name)).toBe(right.fold(name));
      }
    }
  });
});

import { describe, expect, it } from 'vitest';
import { RestoreError } from '../core/index.ts';
import { seededRandom } from '../test/fixtures/random.ts';
import { EntryList } from './entry-list.ts';
import type { TreeEntry } from './place.ts';

const SEED = 20_261_122;
/** Far beyond what is kept as it came. */
const COUNT = 70_000;
const NUMBERS = [
  0,
  1,
  252,
  253,
  0xffff,
  0x1_0000,
  0xffff_ffff,
  2 ** 32,
  2 ** 52 + 1,
  -1,
  -(2 ** 40),
];

describe(`a list of very many entries (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const time = (): { seconds: number; nanoseconds: number } => ({
    seconds: pick(NUMBERS),
    nanoseconds: pick([0, 5, 999_999_999]),
  });
  const maybe = <T extends object>(value: T): T | object => (random() < 0.5 ? value : {});

  function entry(index: number): TreeEntry {
    const node = Math.abs(pick(NUMBERS));
    const name = `${pick(['a', 'Z', 'é', '\udcff', '日本', '\u{1f600}'])}${index}`;
    const plain = { name, node, kind: pick(['file', 'directory', 'unknown', 'symlink'] as const) };
    const modified = time();
    const attributes = {
      kind: pick(['file', 'directory', 'fifo', 'block-device'] as const),
      ...{ size: Math.abs(pick(NUMBERS)), allocated: Math.abs(pick(NUMBERS)), links: index % 7 },
      ...{ modified, fileNumber: pick([node, index]), generation: pick(NUMBERS) },
      ...{ ...maybe({ accessed: modified }), ...maybe({ changed: time() }) },
      ...{ ...maybe({ created: time() }), ...maybe({ mode: 0o644 }), ...maybe({ uid: index }) },
      ...{ ...maybe({ gid: 7 }), ...maybe({ dosAttributes: 0x8000_0020 }) },
      ...{ ...maybe({ unreadable: pick(['encrypted', 'elsewhere']) }) },
      ...(index % 50 === 0 ? { device: { major: 8, minor: index } } : {}),
    };
    return {
      ...plain,
      ...maybe({ attributes }),
      ...(index % 9 === 0 ? { shortName: `S~${index}` } : {}),
      ...(index % 97 === 0 ? { error: new RestoreError('CORRUPT', `damaged ${index}`) } : {}),
    };
  }

  const entries = Array.from({ length: COUNT }, (_, index) => entry(index));
  const listOf = (all: readonly TreeEntry[]): EntryList => {
    const list = new EntryList();
    for (const each of all) list.add(each);
    return list;
  };

  it('gives back what it was given', () => {
    const list = listOf(entries);
    expect(list.length).toBe(COUNT);
    expect([...list.parts()].flat()).toEqual(entries);
    expect(list.at(COUNT - 1)).toEqual(entries.at(-1));
  });

  it('sorts by code units, few as many', () => {
    const byUnits = (all: readonly TreeEntry[]): string[] => all.map(({ name }) => name).sort();
    for (const some of [entries, entries.slice(0, 1000)]) {
      const list = listOf(some);
      list.sort();
      expect([...list.parts()].flat().map(({ name }) => name)).toEqual(byUnits(some));
    }
  });
});

import { expect, it } from 'vitest';
import { type DirectoryEntry, RestoreError } from '../../core/index.ts';
import { foldCase, NameIndex } from './name-index.ts';

const ENTRIES: readonly DirectoryEntry[] = [
  { name: 'Readme', node: 1, kind: 'file' },
  { name: 'README', node: 2, kind: 'file' },
  { name: 'a long name', node: 3, kind: 'file', shortName: 'ALONGN~1' },
  { name: 'stra\u00dfe', node: 4, kind: 'file' },
  { name: 'strasse', node: 5, kind: 'file' },
];

async function* listing(error?: RestoreError): AsyncGenerator<readonly DirectoryEntry[]> {
  yield ENTRIES;
  if (error !== undefined) throw error;
}

it.each([
  ['README', 2],
  ['Readme', 1],
  ['readme', 1],
  ['A LONG NAME', 3],
  ['alongn~1', 3],
  ['STRA\u00dfE', 4],
  ['STRASSE', 5],
  ['nothing', undefined],
  ['', undefined],
])('finds %j', async (name, node) => {
  expect(await new NameIndex(foldCase).find(9, name, listing)).toBe(node);
});

it('lists a directory once', async () => {
  let count = 0;
  const index = new NameIndex(foldCase);
  const list = (): AsyncGenerator<readonly DirectoryEntry[]> => {
    count += 1;
    return listing();
  };
  await index.find(9, 'readme', list);
  await index.find(9, 'nothing', list);
  expect(count).toBe(1);
});

it('finds what a damaged directory still has, and says of the rest that it cannot know', async () => {
  const index = new NameIndex(foldCase);
  const error = new RestoreError('CORRUPT', 'the directory is damaged');
  expect(await index.find(9, 'readme', () => listing(error))).toBe(1);
  await expect(index.find(9, 'nothing', () => listing(error))).rejects.toBe(error);
});

it('forgets a directory that could not be read for now', async () => {
  const index = new NameIndex(foldCase);
  const error = new RestoreError('IO', 'the storage failed');
  await expect(index.find(9, 'readme', () => listing(error))).rejects.toBe(error);
  expect(await index.find(9, 'readme', listing)).toBe(1);
});

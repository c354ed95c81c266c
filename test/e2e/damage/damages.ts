/** Ways to damage a repository's files. Places are read from the files by the documented layout. */
import { readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { filesIn } from '../command/harness.ts';

const PACK_HEADER_BYTES = 64;
const TRAILER_BYTES = 48;
const KIND_AT = 40;
const KIND = { data: 1, index: 2 } as const;

/** What a damage must and must not do to reads; ranges are found by reading. */
export type Effect =
  /** Some ranges, or whole points, cannot be read. */
  | 'unreadable'
  /** Everything reads right, and `verify` says that an object is not as it was. */
  | 'harmless'
  /** Points have vanished from the list; nobody who asks for one is told that there is none. */
  | 'hidden'
  /** The same, where nothing is left that refers to what is gone: only `verify` can tell. */
  | 'lost';

export interface Damage {
  readonly name: string;
  readonly effect: Effect;
  readonly apply: (location: string, random: () => number) => void;
}

export const DAMAGES: readonly Damage[] = [
  { name: 'a bit flipped in a block', effect: 'unreadable', apply: flipInRecords('data', 1) },
  { name: '40 bits flipped in blocks', effect: 'unreadable', apply: flipInRecords('data', 40) },
  { name: '3 bits flipped in index pages', effect: 'unreadable', apply: flipInIndexOfFirst },
  { name: "a bit flipped in a pack's directory", effect: 'harmless', apply: flipInFooter },
  { name: "a bit flipped in a pack's header", effect: 'harmless', apply: flipInHeader },
  { name: 'a missing data pack', effect: 'unreadable', apply: remove('data') },
  { name: 'a missing index pack', effect: 'unreadable', apply: remove('index') },
  { name: 'a truncated data pack', effect: 'unreadable', apply: truncate('data') },
  { name: 'a truncated index pack', effect: 'unreadable', apply: truncate('index') },
  { name: 'an empty data pack', effect: 'unreadable', apply: empty('data') },
  { name: 'two data packs exchanged', effect: 'unreadable', apply: exchangePacks('data', 'data') },
  {
    name: 'two index packs exchanged',
    effect: 'unreadable',
    apply: exchangePacks('index', 'index'),
  },
  {
    name: 'a data and an index pack exchanged',
    effect: 'unreadable',
    apply: exchangePacks('data', 'index'),
  },
  {
    name: 'a bit flipped in a point',
    effect: 'unreadable',
    apply: inObject('points', flipAnywhere),
  },
  {
    name: 'a missing point',
    effect: 'unreadable',
    apply: inObject('points', (file) => rmSync(file)),
  },
  { name: 'a truncated point', effect: 'unreadable', apply: inObject('points', cutShort) },
  { name: 'two points exchanged', effect: 'unreadable', apply: exchangePoints },
  { name: 'a bit flipped in an old commit', effect: 'hidden', apply: inCommit(2, flipAnywhere) },
  { name: 'a missing old commit', effect: 'hidden', apply: inCommit(2, (file) => rmSync(file)) },
  { name: 'a bit flipped in the first commit', effect: 'hidden', apply: inCommit(1, flipAnywhere) },
  {
    name: 'a bit flipped in the newest commit',
    effect: 'hidden',
    apply: inCommit(4, flipAnywhere),
  },
  { name: 'a truncated newest commit', effect: 'hidden', apply: inCommit(4, cutShort) },
  { name: 'the newest commit missing', effect: 'lost', apply: inCommit(4, (file) => rmSync(file)) },
  { name: 'two commits exchanged', effect: 'hidden', apply: exchangeCommits },
];

/** Packs of a kind, the fullest first. */
function packs(location: string, kind: keyof typeof KIND): string[] {
  return filesIn(path.join(location, 'packs'))
    .map((name) => path.join(location, 'packs', name))
    .filter((file) => readFileSync(file)[KIND_AT] === KIND[kind])
    .sort((a, b) => readFileSync(b).length - readFileSync(a).length);
}

function pick<T>(from: readonly T[], random: () => number): T {
  return from[Math.floor(random() * from.length)] as T;
}

function pickPack(location: string, kind: keyof typeof KIND, random: () => number): string {
  return pick(packs(location, kind), random);
}

/** Where the records of a pack end: the trailer's first field. */
function directoryOffset(bytes: Buffer): number {
  return bytes.readUInt32LE(bytes.length - TRAILER_BYTES);
}

function flipBit(bytes: Buffer, from: number, to: number, random: () => number): void {
  const at = from + Math.floor(random() * (to - from));
  bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
}

function flipInRecords(kind: keyof typeof KIND, count: number): Damage['apply'] {
  return (location, random) => {
    for (let flip = 0; flip < count; flip += 1) {
      const file = pickPack(location, kind, random);
      const bytes = readFileSync(file);
      flipBit(bytes, PACK_HEADER_BYTES, directoryOffset(bytes), random);
      writeFileSync(file, bytes);
    }
  };
}

/** Of the fullest index pack: a page of another might be one that no disk needs. */
function flipInIndexOfFirst(location: string, random: () => number): void {
  const [file] = packs(location, 'index');
  if (file === undefined) throw new Error('there is no index pack');
  const bytes = readFileSync(file);
  const end = directoryOffset(bytes);
  // Spread, so that pages of disks are met whatever the place of the list of packs.
  for (let part = 0; part < 3; part += 1) {
    const span = (end - PACK_HEADER_BYTES) / 3;
    const from = PACK_HEADER_BYTES + part * span;
    flipBit(bytes, Math.floor(from), Math.floor(from + span), random);
  }
  writeFileSync(file, bytes);
}

function flipInFooter(location: string, random: () => number): void {
  const file = pickPack(location, 'data', random);
  const bytes = readFileSync(file);
  flipBit(bytes, directoryOffset(bytes), bytes.length, random);
  writeFileSync(file, bytes);
}

function flipInHeader(location: string, random: () => number): void {
  const file = pickPack(location, 'data', random);
  const bytes = readFileSync(file);
  // The identities; bytes after them are reserved.
  flipBit(bytes, 0, KIND_AT, random);
  writeFileSync(file, bytes);
}

function remove(kind: keyof typeof KIND): Damage['apply'] {
  return (location, random) => rmSync(pickPack(location, kind, random));
}

function empty(kind: keyof typeof KIND): Damage['apply'] {
  return (location, random) => truncateSync(pickPack(location, kind, random), 0);
}

/** At least the last record goes with the directory. */
function truncate(kind: keyof typeof KIND): Damage['apply'] {
  return (location, random) => {
    const file = pickPack(location, kind, random);
    const end = directoryOffset(readFileSync(file));
    truncateSync(file, Math.floor(random() * (end - 1)));
  };
}

function exchange(one: string, other: string): void {
  renameSync(one, `${one}.aside`);
  renameSync(other, one);
  renameSync(`${one}.aside`, other);
}

function exchangePacks(one: keyof typeof KIND, other: keyof typeof KIND): Damage['apply'] {
  return (location, random) => {
    const first = pickPack(location, one, random);
    const second = pick(
      packs(location, other).filter((file) => file !== first),
      random,
    );
    exchange(first, second);
  };
}

function inObject(
  folder: string,
  change: (file: string, random: () => number) => void,
): Damage['apply'] {
  return (location, random) => {
    change(path.join(location, folder, pick(filesIn(path.join(location, folder)), random)), random);
  };
}

function inCommit(
  number: number,
  change: (file: string, random: () => number) => void,
): Damage['apply'] {
  return (location, random) => change(commit(location, number), random);
}

function commit(location: string, number: number): string {
  return path.join(location, 'commits', String(number).padStart(12, '0'));
}

export function flipAnywhere(file: string, random: () => number): void {
  const bytes = readFileSync(file);
  flipBit(bytes, 0, bytes.length, random);
  writeFileSync(file, bytes);
}

function cutShort(file: string, random: () => number): void {
  truncateSync(file, Math.floor(random() * readFileSync(file).length));
}

function exchangePoints(location: string, random: () => number): void {
  const points = filesIn(path.join(location, 'points'));
  const first = pick(points, random);
  const second = pick(
    points.filter((name) => name !== first),
    random,
  );
  exchange(path.join(location, 'points', first), path.join(location, 'points', second));
}

function exchangeCommits(location: string): void {
  exchange(commit(location, 2), commit(location, 3));
}

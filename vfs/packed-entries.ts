import type { Attributes, DirectoryEntry, FileKind, Timestamp } from '../core/index.ts';
import { NUMBER_BYTES_MAX, NumberReader, putNumber } from './number-codec.ts';
import type { TreeEntry } from './place.ts';

/** In the order of their numbers. */
const KINDS = [
  'file',
  'directory',
  'symlink',
  'block-device',
  'character-device',
  'fifo',
  'socket',
  'unknown',
] as const satisfies readonly (FileKind | 'unknown')[];
const KIND_NUMBERS = new Map<FileKind | 'unknown', number>(
  KINDS.map((kind, index) => [kind, index]),
);
/** Bits of what an entry has beside what all have. Three bits above them hold each of two kinds. */
const HAS = {
  attributes: 1 << 0,
  accessed: 1 << 1,
  changed: 1 << 2,
  created: 1 << 3,
  mode: 1 << 4,
  owner: 1 << 5,
  group: 1 << 6,
  dosAttributes: 1 << 7,
  /** The file number is the node's. */
  sameNumber: 1 << 8,
  unreadable: 1 << 9,
} as const;
const TIMES = ['accessed', 'changed', 'created'] as const;
/** Times that are the same as `modified`, as most are. */
const SAME_TIME_SHIFT = 10;
const KIND_SHIFT = 16;
const ATTRIBUTES_KIND_SHIFT = 19;
/** Of one entry: its flags, and no more than nineteen numbers. */
const ENTRY_BYTES_MAX = 20 * NUMBER_BYTES_MAX;
const CHUNK_BYTES = 1024 * 1024;
const COUNT_FIRST = 64 * 1024;

type Told = { -readonly [Key in keyof TreeEntry]: TreeEntry[Key] };
type Known = { -readonly [Key in keyof Attributes]: Attributes[Key] };

/**
 * Entries of a very large directory: names as they are, and all else in some forty bytes, where
 * objects take nearly a thousand. What few entries have is kept beside.
 */
export class PackedEntries {
  readonly #names: string[] = [];
  readonly #chunks: DataView[] = [];
  /** Where in the chunks each one begins. */
  #places = new Float64Array(COUNT_FIRST);
  #next = 0;
  /** Of those that are told as they came: with an error, a volume mounted, a device's numbers. */
  readonly #whole = new Map<number, TreeEntry>();
  readonly #shortNames = new Map<number, string>();
  readonly #reasons: string[] = [];
  readonly #reasonNumbers = new Map<string, number>();
  #order: Uint32Array | undefined;
  readonly #reader = new NumberReader();

  get length(): number {
    return this.#names.length;
  }

  add(entry: TreeEntry): void {
    const index = this.#names.length;
    this.#names.push(entry.name);
    if (entry.shortName !== undefined) this.#shortNames.set(index, entry.shortName);
    const isRare = entry.error !== undefined || entry.mount !== undefined;
    if (isRare || entry.attributes?.device !== undefined) {
      this.#whole.set(index, entry);
      return;
    }
    this.#note(index, this.#write(entry));
  }

  /** Puts them in the order of their names, by code units. */
  sort(): void {
    const names = this.#names;
    const order = new Uint32Array(names.length);
    for (let index = 0; index < order.length; index += 1) order[index] = index;
    this.#order = order.sort((left, right) => {
      const one = names[left] as string;
      const other = names[right] as string;
      return one < other ? -1 : one > other ? 1 : 0;
    });
  }

  /** The entry at `position`, made anew. */
  at(position: number): TreeEntry {
    const index = this.#order?.[position] ?? position;
    const whole = this.#whole.get(index);
    if (whole !== undefined) return whole;
    const place = this.#places[index] as number;
    const chunk = this.#chunks[Math.floor(place / CHUNK_BYTES)] as DataView;
    this.#reader.moveTo(chunk, place % CHUNK_BYTES);
    return this.#read(index);
  }

  #note(index: number, place: number): void {
    if (index >= this.#places.length) {
      const larger = new Float64Array(this.#places.length * 2);
      larger.set(this.#places);
      this.#places = larger;
    }
    this.#places[index] = place;
  }

  #write({ node, kind, attributes }: DirectoryEntry): number {
    const room = CHUNK_BYTES - (this.#next % CHUNK_BYTES);
    if (room < ENTRY_BYTES_MAX) this.#next += room;
    const place = this.#next;
    const number = Math.floor(place / CHUNK_BYTES);
    this.#chunks[number] ??= new DataView(new ArrayBuffer(CHUNK_BYTES));
    const view = this.#chunks[number];
    const flags = flagsOf(node, kind, attributes);
    let at = putNumber(view, place % CHUNK_BYTES, flags);
    at = putNumber(view, at, node);
    if (attributes !== undefined) at = this.#writeAttributes(view, at, flags, attributes);
    this.#next = number * CHUNK_BYTES + at;
    return place;
  }

  #writeAttributes(view: DataView, from: number, flags: number, known: Attributes): number {
    let at = from;
    const put = (value: number): void => {
      at = putNumber(view, at, value);
    };
    put(known.size);
    put(known.allocated);
    put(known.links);
    put(known.modified.seconds);
    put(known.modified.nanoseconds);
    put(known.generation);
    if ((flags & HAS.sameNumber) === 0) put(known.fileNumber);
    TIMES.forEach((name, index) => {
      const time = known[name];
      if (time === undefined || (flags & (1 << (SAME_TIME_SHIFT + index))) !== 0) return;
      put(time.seconds);
      put(time.nanoseconds);
    });
    if (known.mode !== undefined) put(known.mode);
    if (known.uid !== undefined) put(known.uid);
    if (known.gid !== undefined) put(known.gid);
    if (known.dosAttributes !== undefined) put(known.dosAttributes);
    if (known.unreadable !== undefined) put(this.#reasonNumber(known.unreadable));
    return at;
  }

  #reasonNumber(reason: string): number {
    let number = this.#reasonNumbers.get(reason);
    if (number === undefined) {
      number = this.#reasons.push(reason) - 1;
      this.#reasonNumbers.set(reason, number);
    }
    return number;
  }

  #read(index: number): TreeEntry {
    const reader = this.#reader;
    const flags = reader.next();
    const told: Told = {
      name: this.#names[index] as string,
      node: reader.next(),
      kind: KINDS[(flags >>> KIND_SHIFT) & 7] as (typeof KINDS)[number],
    };
    if ((flags & HAS.attributes) !== 0) told.attributes = this.#readAttributes(flags, told.node);
    const shortName = this.#shortNames.get(index);
    if (shortName !== undefined) told.shortName = shortName;
    return told;
  }

  #readAttributes(flags: number, node: number): Attributes {
    const reader = this.#reader;
    const kind = KINDS[(flags >>> ATTRIBUTES_KIND_SHIFT) & 7] as FileKind;
    const size = reader.next();
    const allocated = reader.next();
    const links = reader.next();
    const modified: Timestamp = { seconds: reader.next(), nanoseconds: reader.next() };
    const generation = reader.next();
    const fileNumber = (flags & HAS.sameNumber) === 0 ? reader.next() : node;
    const known: Known = { kind, size, allocated, links, modified, fileNumber, generation };
    TIMES.forEach((name, index) => {
      if ((flags & HAS[name]) === 0) return;
      const isSame = (flags & (1 << (SAME_TIME_SHIFT + index))) !== 0;
      known[name] = isSame ? modified : { seconds: reader.next(), nanoseconds: reader.next() };
    });
    if ((flags & HAS.mode) !== 0) known.mode = reader.next();
    if ((flags & HAS.owner) !== 0) known.uid = reader.next();
    if ((flags & HAS.group) !== 0) known.gid = reader.next();
    if ((flags & HAS.dosAttributes) !== 0) known.dosAttributes = reader.next();
    if ((flags & HAS.unreadable) !== 0) known.unreadable = this.#reasons[reader.next()] as string;
    return known;
  }
}

function flagsOf(node: number, kind: DirectoryEntry['kind'], known?: Attributes): number {
  const flags = (KIND_NUMBERS.get(kind) as number) << KIND_SHIFT;
  if (known === undefined) return flags;
  let all = flags | HAS.attributes;
  all |= (KIND_NUMBERS.get(known.kind) as number) << ATTRIBUTES_KIND_SHIFT;
  TIMES.forEach((name, index) => {
    const time = known[name];
    if (time === undefined) return;
    all |= HAS[name];
    if (isEqual(time, known.modified)) all |= 1 << (SAME_TIME_SHIFT + index);
  });
  if (known.mode !== undefined) all |= HAS.mode;
  if (known.uid !== undefined) all |= HAS.owner;
  if (known.gid !== undefined) all |= HAS.group;
  if (known.dosAttributes !== undefined) all |= HAS.dosAttributes;
  if (known.fileNumber === node) all |= HAS.sameNumber;
  if (known.unreadable !== undefined) all |= HAS.unreadable;
  return all;
}

function isEqual(one: Timestamp, other: Timestamp): boolean {
  return one.seconds === other.seconds && one.nanoseconds === other.nanoseconds;
}

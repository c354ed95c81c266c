import type {
  Attributes,
  DirectoryEntry,
  ErrorCode,
  FileKind,
  ListOptions,
} from '../../../core/index.ts';
import { isRestoreError, throwIfAborted } from '../../../core/index.ts';
import { attributesOf } from './attributes.ts';
import type { Link } from './directory/links.ts';
import { DirectoryReader } from './directory/reader.ts';
import type { Inode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import { readTarget } from './symbolic-link.ts';
import type { ExtVolume } from './volume.ts';

/** Kernel documentation, filesystems/ext4, "Directory Entries": `file_type`. */
const KINDS: readonly (FileKind | 'unknown')[] = [
  'unknown',
  'file',
  'directory',
  'character-device',
  'block-device',
  'fifo',
  'socket',
  'symlink',
];
/** Entries gathered before their inodes are read: a large directory names them in no order. */
const GATHERED_MAX = 200_000;
/** Inodes read ahead at once, and pieces of their tables, 64 KiB each. */
const AHEAD_MAX = 8192;
const AHEAD_PIECES_MAX = 256;
/** Errors that say nothing about the next file. */
const OF_ONE_FILE: readonly ErrorCode[] = ['CORRUPT', 'UNSUPPORTED', 'IO'];
/** What a name costs while its directory is listed. */
const NAME_HELD_BYTES = 96;

/** Lists a directory. What can be read comes first, and an error for the rest after that. */
export async function* listDirectory(
  volume: ExtVolume,
  inodes: InodeTable,
  directory: Inode,
  { attributes = false, signal }: ListOptions,
): AsyncGenerator<readonly DirectoryEntry[]> {
  const reader = new DirectoryReader(volume, directory);
  const once = new Names(volume);
  try {
    if (attributes) {
      for await (const links of gathered(reader, once, signal)) {
        yield* withAttributes(volume, inodes, links, signal);
      }
    } else {
      for await (const links of reader.links(signal)) {
        yield once.firstOf(links).map(entryOf);
      }
    }
  } finally {
    once.release();
  }
  if (reader.damage !== undefined) throw reader.damage;
}

/** The names already listed: a damaged directory may have one twice. */
class Names {
  readonly #volume: ExtVolume;
  readonly #names = new Set<string>();
  #heldBytes = 0;

  constructor(volume: ExtVolume) {
    this.#volume = volume;
  }

  firstOf(links: readonly Link[]): Link[] {
    const bytes = links.length * NAME_HELD_BYTES;
    this.#volume.budget.hold(bytes);
    this.#heldBytes += bytes;
    return links.filter(({ name, inode }) => {
      const before = this.#names.size;
      this.#names.add(name);
      if (this.#names.size > before) return true;
      this.#volume.health.note('partly damaged', {
        message: 'a directory has a name twice; the second is not shown',
        where: { structure: 'directory entry', found: `${JSON.stringify(name)}, inode ${inode}` },
      });
      return false;
    });
  }

  release(): void {
    this.#volume.budget.release(this.#heldBytes);
    this.#heldBytes = 0;
  }
}

async function* gathered(
  reader: DirectoryReader,
  once: Names,
  signal: AbortSignal | undefined,
): AsyncGenerator<Link[]> {
  let held: Link[] = [];
  for await (const links of reader.links(signal)) {
    const fresh = once.firstOf(links);
    held = held.length === 0 ? fresh : held.concat(fresh);
    if (held.length >= GATHERED_MAX) {
      yield held;
      held = [];
    }
  }
  if (held.length > 0) yield held;
}

/** In the order of their inodes, so that each piece of their tables is read once. */
async function* withAttributes(
  volume: ExtVolume,
  inodes: InodeTable,
  links: Link[],
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly DirectoryEntry[]> {
  links.sort((left, right) => left.inode - right.inode);
  for (let at = 0; at < links.length; ) {
    throwIfAborted(signal);
    const end = inodes.endOfPieces(links, at, AHEAD_PIECES_MAX, AHEAD_MAX);
    const batch = links.slice(at, end);
    await inodes.prefetch(batch, signal);
    volume.budget.checkTime();
    const entries: DirectoryEntry[] = [];
    for (const link of batch) {
      const entry = described(inodes, link);
      entries.push(entry ?? (await describedSlowly(volume, inodes, link, signal)));
    }
    yield entries;
    at = end;
  }
}

/** Without a promise, when the inode is at hand and needs no more than itself. */
function described(inodes: InodeTable, link: Link): DirectoryEntry | undefined {
  try {
    const inode = inodes.peekFile(link.inode);
    if (inode === undefined || (inode.kind === 'symlink' && inode.has('encrypt'))) return undefined;
    return withKind(link, attributesOf(inode));
  } catch {
    return undefined;
  }
}

async function describedSlowly(
  volume: ExtVolume,
  inodes: InodeTable,
  link: Link,
  signal: AbortSignal | undefined,
): Promise<DirectoryEntry> {
  try {
    return withKind(link, await statOf(volume, await inodes.readFile(link.inode, signal), signal));
  } catch (error) {
    if (!isRestoreError(error) || !OF_ONE_FILE.includes(error.code)) throw error;
    if (error.code === 'CORRUPT') volume.health.damage(error);
    return { ...entryOf(link), error };
  }
}

/** As Linux has it, an encrypted link is as long as what is shown of it. */
export async function statOf(
  volume: ExtVolume,
  inode: Inode,
  signal?: AbortSignal,
): Promise<Attributes> {
  const attributes = attributesOf(inode);
  if (inode.kind !== 'symlink' || !inode.has('encrypt')) return attributes;
  return { ...attributes, size: (await readTarget(volume, inode, signal)).length };
}

function entryOf({ name, inode, type }: Link): DirectoryEntry {
  return { name, node: inode, kind: KINDS[type] ?? 'unknown' };
}

function withKind({ name, inode }: Link, attributes: Attributes): DirectoryEntry {
  return { name, node: inode, kind: attributes.kind, attributes };
}

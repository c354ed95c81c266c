/** Everything on a volume, as another reader tells it and as our drivers do, and where they differ. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import {
  type Attributes,
  type FileSystem,
  isAllZero,
  type NodeId,
  type SparseSource,
} from '../../../core/index.ts';
import type { Random } from '../../fixtures/disks/random.ts';
import { run } from '../../fixtures/tools/index.ts';

/** One file; times in nanoseconds since 1970. What a reader does not tell is missing. */
export interface Surveyed {
  readonly kind: string;
  readonly size: number;
  readonly allocated?: number;
  readonly links: number;
  readonly mode?: number;
  readonly owner?: string;
  readonly inode?: number;
  readonly modified: string;
  readonly accessed?: string;
  readonly changed?: string;
  readonly created?: string;
  readonly device?: string;
  readonly target?: string;
  /** Over the 4 KiB pieces that are not all zeros, and their places. */
  readonly pieces?: string;
  /** Of all content, where it is short. */
  readonly sha256?: string;
  /** Ranges that hold data. */
  readonly data?: readonly (readonly [offset: number, length: number])[];
  /** By name, in hexadecimal. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Named streams: sizes, and digests of pieces. */
  readonly streams?: Readonly<Record<string, readonly [number, string]>>;
  readonly unreadable?: string;
}

export type Survey = Map<string, Surveyed>;

const PIECE_BYTES = 4096;
const WHOLE_BYTES_MAX = 8 * 1024 * 1024;

/** What is under a mount point. `xattrs`: names to ask for; all that it lists when missing. */
export async function surveyMounted(root: string, xattrs?: readonly string[]): Promise<Survey> {
  const script = path.join(import.meta.dirname, 'survey.py');
  const options = xattrs === undefined ? [] : ['--xattrs', ...xattrs];
  const args = [script, root, ...(xattrs?.length === 0 ? ['--no-xattrs'] : options)];
  const { stdout } = await run('python3', args, { env: { LC_ALL: 'C.UTF-8' } });
  const survey: Survey = new Map();
  for (const line of stdout.split('\n')) {
    if (line === '') continue;
    const { path: place, ...told } = JSON.parse(line) as Surveyed & { path: string };
    survey.set(place, told);
  }
  return survey;
}

/**
 * The same as our driver reads it, each thing in more than one way: attributes by `stat` and with the
 * listing, names by listing and by `lookup`, content by its extents and in random pieces.
 */
export async function surveyFileSystem(fileSystem: FileSystem, random: Random): Promise<Survey> {
  const survey: Survey = new Map();
  const waiting: [string, NodeId][] = [['', fileSystem.root]];
  survey.set('/', await describe(fileSystem, fileSystem.root, random));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [folder, parent] = next;
    for await (const batch of fileSystem.list(parent, { attributes: true })) {
      for (const { name, node, kind, attributes, error } of batch) {
        const place = `${folder}/${name}`;
        if (survey.has(place)) throw new Error(`listed twice: ${place}`);
        if (error !== undefined) throw error;
        const told = await describe(fileSystem, node, random);
        survey.set(place, told);
        same(`${place}: listed attributes`, attributes, await fileSystem.stat(node));
        same(`${place}: listed kind`, kind, told.kind);
        same(`${place}: lookup`, await fileSystem.lookup(parent, name), node);
        if (told.kind === 'directory') waiting.push([place, node]);
      }
    }
  }
  return survey;
}

async function describe(fileSystem: FileSystem, node: NodeId, random: Random): Promise<Surveyed> {
  const attributes = await fileSystem.stat(node);
  const { kind, uid, gid, device, unreadable } = attributes;
  const xattrs = await fileSystem.xattrs(node);
  const hasContent = kind === 'file' && unreadable === undefined;
  return {
    ...plain(attributes),
    xattrs: Object.fromEntries(
      xattrs.map(({ name, value }) => [name, Buffer.from(value).toString('hex')]),
    ),
    ...(uid === undefined ? {} : { owner: `${uid}:${gid}` }),
    ...(device === undefined ? {} : { device: `${device.major}:${device.minor}` }),
    ...(kind === 'symlink' ? { target: (await fileSystem.readLink(node)).target } : {}),
    ...(hasContent ? await contentOf(await fileSystem.open(node), random) : {}),
    ...(await streamsOf(fileSystem, node, random)),
  };
}

async function streamsOf(
  fileSystem: FileSystem,
  node: NodeId,
  random: Random,
): Promise<Pick<Surveyed, 'streams'>> {
  const streams: Record<string, [number, string]> = {};
  for (const { name, size } of await fileSystem.streams(node)) {
    const source = await fileSystem.open(node, name);
    if (source.size !== size) throw new Error(`stream ${name}: ${size}, opened ${source.size}`);
    streams[name] = [size, (await contentOf(source, random)).pieces ?? ''];
  }
  return Object.keys(streams).length === 0 ? {} : { streams };
}

function plain(attributes: Attributes): Surveyed {
  const { kind, size, allocated, links, mode, modified, accessed, changed, created } = attributes;
  return {
    ...{ kind, size, allocated, links, inode: attributes.fileNumber },
    ...(mode === undefined ? {} : { mode }),
    modified: nanoseconds(modified),
    ...(accessed === undefined ? {} : { accessed: nanoseconds(accessed) }),
    ...(changed === undefined ? {} : { changed: nanoseconds(changed) }),
    ...(created === undefined ? {} : { created: nanoseconds(created) }),
    ...(attributes.unreadable === undefined ? {} : { unreadable: attributes.unreadable }),
  };
}

function nanoseconds(time: Attributes['modified']): string {
  return String(BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds));
}

/** A file's digests and data ranges, of a source that this closes. */
async function contentOf(
  source: SparseSource,
  random: Random,
): Promise<Pick<Surveyed, 'pieces' | 'sha256' | 'data'>> {
  try {
    const data = await mergedExtents(source);
    const pieces = await digestOfPieces(source, data);
    if (source.size > WHOLE_BYTES_MAX) return { pieces, data };
    return { pieces, data, sha256: await digestInParts(source, random) };
  } finally {
    await source.close();
  }
}

async function mergedExtents(source: SparseSource): Promise<[number, number][]> {
  const merged: [number, number][] = [];
  for await (const { offset, length } of source.extents(0, source.size)) {
    const last = merged.at(-1);
    if (last !== undefined && offset < last[0] + last[1]) throw new Error('extents overlap');
    if (last !== undefined && last[0] + last[1] === offset) last[1] += length;
    else merged.push([offset, length]);
  }
  return merged;
}

/** Reads what the extents name alone: what they leave out would be missing here. */
async function digestOfPieces(
  source: SparseSource,
  data: readonly (readonly [number, number])[],
): Promise<string> {
  const hash = createHash('sha256');
  let next = 0;
  for (const [start, length] of data) {
    const from = Math.max(next, start - (start % PIECE_BYTES));
    next = Math.min(source.size, Math.ceil((start + length) / PIECE_BYTES) * PIECE_BYTES);
    for (let at = from; at < next; at += WHOLE_BYTES_MAX) {
      const part = Buffer.alloc(Math.min(WHOLE_BYTES_MAX, next - at));
      await source.readInto(part, at);
      for (let inner = 0; inner < part.length; inner += PIECE_BYTES) {
        const piece = part.subarray(inner, inner + PIECE_BYTES);
        if (!isAllZero(piece)) hash.update(`${at + inner}:`).update(piece);
      }
    }
  }
  return hash.digest('hex');
}

/** All content from parts of random lengths, read in random order into buffers that hold other bytes. */
async function digestInParts(source: SparseSource, random: Random): Promise<string> {
  const whole = Buffer.alloc(source.size, 0xdb);
  const parts: [number, number][] = [];
  for (let at = 0; at < whole.length; ) {
    const wanted = random.pick([1, 511, 512, 4096, 10_000, 65_536, 100_001, 1_000_000]);
    const length = Math.min(random.between(Math.ceil(wanted / 2), wanted), whole.length - at);
    parts.push([at, length]);
    at += length;
    // Very many tiny parts tell no more than some do.
    if (parts.length > 300) {
      parts.push([at, whole.length - at]);
      break;
    }
  }
  for (const [at, length] of shuffled(parts, random)) {
    await source.readInto(whole.subarray(at, at + length), at);
  }
  return createHash('sha256').update(whole).digest('hex');
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const mixed = [...items];
  for (let index = mixed.length - 1; index > 0; index -= 1) {
    const other = random.below(index + 1);
    [mixed[index], mixed[other]] = [mixed[other] as T, mixed[index] as T];
  }
  return mixed;
}

function same(what: string, one: unknown, other: unknown): void {
  const [left, right] = [JSON.stringify(one), JSON.stringify(other)];
  if (left !== right) throw new Error(`${what}: ${left} is not ${right}`);
}

const DIFFERENCES_TOLD_MAX = 8;

/** Throws where two surveys differ in these fields. `project` leaves out what cannot agree. */
export function expectAlike(
  ours: Survey,
  theirs: Survey,
  project: (told: Surveyed, path: string) => object,
): void {
  const lines: string[] = [];
  for (const place of new Set([...ours.keys(), ...theirs.keys()])) {
    const [our, their] = [ours.get(place), theirs.get(place)];
    if (our === undefined || their === undefined) {
      lines.push(`${JSON.stringify(place)}: only ${our === undefined ? 'theirs' : 'ours'}`);
      continue;
    }
    const [one, other] = [project(our, place), project(their, place)].map(
      (fields) => new Map(Object.entries(fields).map(([key, value]) => [key, ordered(value)])),
    ) as [Map<string, string>, Map<string, string>];
    for (const key of new Set([...one.keys(), ...other.keys()])) {
      if (one.get(key) === other.get(key)) continue;
      const told = `ours ${cut(one.get(key))}, theirs ${cut(other.get(key))}`;
      lines.push(`${JSON.stringify(place)} ${key}: ${told}`);
    }
  }
  if (lines.length === 0) return;
  const shown = lines.slice(0, DIFFERENCES_TOLD_MAX).join('\n  ');
  throw new Error(`${lines.length} differences in ${theirs.size} files:\n  ${shown}`);
}

/** As JSON, an object's members by name. */
function ordered(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return JSON.stringify(value) ?? 'nothing';
  }
  return JSON.stringify(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function cut(text: string | undefined): string {
  const whole = text ?? 'nothing';
  return whole.length > 300 ? `${whole.slice(0, 300)}… (${whole.length})` : whole;
}

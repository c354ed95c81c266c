import {
  asRestoreError,
  type Attributes,
  type ExtendedAttribute,
  type Ranges,
  type StreamEntry,
  type Timestamp,
} from '../../core/index.ts';
import { contentsDiffer } from './contents.ts';
import type { Aspect, ProblemSink, SideFile } from './model.ts';

export interface AspectOptions {
  /** Stretches of the volume that may read otherwise; `undefined` when that is not known. */
  readonly changed: Ranges | undefined;
  /** Read contents that may differ; else size and time stand for them. */
  readonly contents: boolean;
  /** For problems. */
  readonly path: string;
  readonly onProblem: ProblemSink;
  readonly signal?: AbortSignal;
}

/**
 * What differs between two states of a file, or between two files of one name. Times of access, of
 * creation and of the record are no difference; of a directory, neither are size and time, which follow
 * from its entries.
 */
export async function aspectsOf(
  before: SideFile,
  after: SideFile,
  options: AspectOptions,
): Promise<Aspect[]> {
  const one = before.attributes;
  const other = after.attributes;
  const aspects: Aspect[] = [];
  if (one.kind !== other.kind) aspects.push('kind');
  else aspects.push(...(await bodyAspects(before, after, options)));
  if (one.mode !== other.mode) aspects.push('mode');
  if (one.uid !== other.uid || one.gid !== other.gid) aspects.push('owner');
  if (one.dosAttributes !== other.dosAttributes) aspects.push('attributes');
  if (isOtherDevice(one, other)) aspects.push('device');
  if (one.kind === other.kind) aspects.push(...(await sideAspects(before, after, options)));
  return aspects;
}

async function bodyAspects(
  before: SideFile,
  after: SideFile,
  options: AspectOptions,
): Promise<Aspect[]> {
  const one = before.attributes;
  const other = after.attributes;
  if (one.kind === 'directory') return [];
  const aspects: Aspect[] = [];
  if (one.kind === 'file' && (await hasOtherContent(before, after, options))) {
    aspects.push('content');
  }
  if (one.size !== other.size && one.kind === 'file') aspects.push('size');
  if (!isSameTime(one.modified, other.modified)) aspects.push('modified');
  return aspects;
}

async function sideAspects(
  before: SideFile,
  after: SideFile,
  options: AspectOptions,
): Promise<Aspect[]> {
  if (!options.contents) return [];
  const aspects: Aspect[] = [];
  const note = async (aspect: Aspect, differs: () => Promise<boolean>): Promise<void> => {
    if (await guarded(options, differs)) aspects.push(aspect);
  };
  const { signal } = options;
  if (before.attributes.kind === 'symlink') {
    await note('target', async () => {
      const [one, other] = await Promise.all(
        [before, after].map(({ fileSystem, node }) => fileSystem.readLink(node, signal)),
      );
      return one?.target !== other?.target || one?.style !== other?.style;
    });
  }
  await note('xattrs', async () => {
    const [one = [], other = []] = await Promise.all(
      [before, after].map(({ fileSystem, node }) => fileSystem.xattrs(node, signal)),
    );
    return !isSameList(one, other);
  });
  await note('streams', () => haveOtherStreams(before, after, options));
  return aspects;
}

async function hasOtherContent(
  before: SideFile,
  after: SideFile,
  options: AspectOptions,
): Promise<boolean> {
  const one = before.attributes;
  const other = after.attributes;
  if (one.size !== other.size) return true;
  if (!options.contents) return !isSameTime(one.modified, other.modified);
  if (one.unreadable !== undefined || other.unreadable !== undefined) {
    return one.unreadable !== other.unreadable || !isSameTime(one.modified, other.modified);
  }
  return await guarded(options, () => differBy(before, after, undefined, options));
}

async function differBy(
  before: SideFile,
  after: SideFile,
  stream: string | undefined,
  { changed, signal }: AspectOptions,
): Promise<boolean> {
  const one = await before.fileSystem.open(before.node, stream, signal);
  const other = await after.fileSystem.open(after.node, stream, signal);
  try {
    return await contentsDiffer(one, other, changed, signal);
  } finally {
    await Promise.all([one.close(), other.close()]);
  }
}

async function haveOtherStreams(
  before: SideFile,
  after: SideFile,
  options: AspectOptions,
): Promise<boolean> {
  const one = await before.fileSystem.streams(before.node, options.signal);
  const other = await after.fileSystem.streams(after.node, options.signal);
  const sizes = new Map(one.map(({ name, size }) => [name, size]));
  const isOne = ({ name, size }: StreamEntry): boolean => sizes.get(name) === size;
  if (one.length !== other.length || !other.every(isOne)) return true;
  for (const { name } of one) if (await differBy(before, after, name, options)) return true;
  return false;
}

/** What cannot be read cannot be compared: that is told, and no change is made up. */
async function guarded(
  { onProblem, path }: AspectOptions,
  differs: () => Promise<boolean>,
): Promise<boolean> {
  try {
    return await differs();
  } catch (cause) {
    const error = asRestoreError(cause, 'cannot compare');
    if (error.code === 'CANCELLED') throw error;
    onProblem(error, path);
    return false;
  }
}

function isSameList(
  one: readonly ExtendedAttribute[],
  other: readonly ExtendedAttribute[],
): boolean {
  const values = new Map(one.map(({ name, value }) => [name, value]));
  return (
    one.length === other.length &&
    other.every(({ name, value }) => {
      const known = values.get(name);
      return known !== undefined && Buffer.from(known).equals(value);
    })
  );
}

function isSameTime(one: Timestamp, other: Timestamp): boolean {
  return one.seconds === other.seconds && one.nanoseconds === other.nanoseconds;
}

function isOtherDevice({ device: one }: Attributes, { device: other }: Attributes): boolean {
  return one?.major !== other?.major || one?.minor !== other?.minor;
}

import {
  asRestoreError,
  type Attributes,
  extentsOf,
  isLocated,
  isRestoreError,
  type NodeId,
  readBytes,
  type RestoreError,
} from '../../core/index.ts';
import type { MachineDisk } from '../../parsers/index.ts';
import { isSameFile, type SideFile } from '../compare/model.ts';
import { RecordSide } from '../compare/record-side.ts';
import { Machine, type MachineAddress } from '../machine.ts';
import type { OpenVolume } from '../place.ts';
import { Trace, traced } from './trace.ts';

/** A file as it was found at one point. */
export interface FoundFile extends SideFile {
  readonly volume: OpenVolume;
  readonly path: string;
  /** Of a directory, what it holds: `name` by `kind`. */
  readonly entries?: ReadonlyMap<string, string>;
}

/** What one point says of a file, and what that rests on. */
export interface Look {
  readonly machine: Machine;
  readonly file: FoundFile | undefined;
  /** Why that is not known, where it is not. */
  readonly error?: RestoreError;
  readonly trace: Trace;
}

/** Which file is meant: the one at a path, or one that goes by its number. */
export type Wanted =
  | { readonly address: MachineAddress }
  | { readonly volume: string; readonly attributes: Attributes };

/** Looks for a file on the disks of one point, noting all that the answer depends on. */
export async function lookFor(disks: readonly MachineDisk[], wanted: Wanted): Promise<Look> {
  const trace = new Trace();
  const machine = await Machine.open(
    disks.map(({ id, source }) => ({ id, source: traced(id, source, trace) })),
  );
  try {
    const found =
      'address' in wanted ? await byPath(machine, wanted.address) : await byNumber(machine, wanted);
    if (found === undefined) return { machine, file: undefined, trace };
    const file = await described(found);
    await noteContent(machine, file, trace);
    return { machine, file, trace };
  } catch (cause) {
    if (isAbsence(cause)) return { machine, file: undefined, trace };
    const error = asRestoreError(cause, 'cannot look for the file');
    if (error.code === 'CANCELLED') throw error;
    trace.addAll();
    return { machine, file: undefined, error, trace };
  }
}

type Found = Pick<FoundFile, 'volume' | 'node' | 'path'>;

async function byPath(machine: Machine, address: MachineAddress): Promise<Found> {
  const { place } = await machine.resolve(address, { follow: true });
  return place;
}

/** The file with this number, wherever it is now; `undefined` when it is not there. */
async function byNumber(
  machine: Machine,
  { volume: id, attributes }: { readonly volume: string; readonly attributes: Attributes },
): Promise<Found | undefined> {
  const volume = await machine.volume(id)?.open();
  if (volume === undefined) return undefined;
  const { fileSystem } = volume;
  const { records } = fileSystem;
  if (records === undefined) return undefined;
  const number = attributes.fileNumber;
  const side = new RecordSide(fileSystem, records);
  const file = await side.file(number);
  if (isRestoreError(file)) throw file;
  if (file === undefined || !isSameFile(attributes, file.attributes)) return undefined;
  let damage: RestoreError | undefined;
  for await (const name of records.namesOf(new Set([number]), [])) {
    await side.locate([name.parent], (error) => {
      damage ??= error;
    });
    const path = side.pathOf(name);
    if (path !== undefined) return { volume, node: file.node, path };
  }
  if (damage !== undefined) throw damage;
  return undefined;
}

async function described({ volume, node, path }: Found): Promise<FoundFile> {
  const { fileSystem } = volume;
  const attributes = await fileSystem.stat(node);
  const file = { fileSystem, node, attributes, volume, path };
  // Read now, so that the trace has what they depend on.
  await fileSystem.xattrs(node);
  if (attributes.kind !== 'directory') return file;
  return { ...file, entries: await entriesOf(volume, node) };
}

async function entriesOf({ fileSystem }: OpenVolume, node: NodeId): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  for await (const batch of fileSystem.list(node)) {
    for (const { name, kind } of batch) entries.set(name, kind);
  }
  return entries;
}

/** Content is not read: it is noted where it lies. */
async function noteContent(
  machine: Machine,
  { fileSystem, node, attributes, volume }: FoundFile,
  trace: Trace,
): Promise<void> {
  if ((fileSystem.records?.replayed ?? []).length > 0) {
    // Some of it may stand in the journal alone.
    trace.addAll();
    return;
  }
  if (attributes.kind !== 'file' || attributes.unreadable !== undefined) return;
  const source = machine.volumes.volumes.find(({ id }) => id === volume.id)?.open();
  const streams = await fileSystem.streams(node);
  for (const stream of [undefined, ...streams.map(({ name }) => name)]) {
    const content = await fileSystem.open(node, stream);
    if (source === undefined || !isLocated(content)) {
      // In a record, or made from what lies somewhere: reading it tells.
      if (content.size > READ_BYTES_MAX) trace.addAll();
      else await readBytes(content, 0, content.size);
      continue;
    }
    for await (const { at, length } of content.places()) {
      for await (const _ of extentsOf(source, at, length));
    }
  }
}

/** Content that does not know where it lies is read to know, up to this much. */
const READ_BYTES_MAX = 1024 * 1024;

/** A path that leads through what is no directory leads to nothing. */
function isAbsence(error: unknown): boolean {
  return isRestoreError(error, 'NOT_FOUND') || isRestoreError(error, 'INVALID');
}

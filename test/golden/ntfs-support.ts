/** Opens NTFS volumes for the tests that hold them against other readers. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type FileSystem, nameToBytes, type NodeId, slice } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { keyOfPath, type ListedFile, type Listing } from '../fixtures/file-systems/index.ts';
import { run } from '../fixtures/tools/index.ts';
import { nodeFiles } from './image-support.ts';

export const IMAGES: string =
  process.env['REHYDRATE_IMAGES'] ?? path.resolve('..', 'shared', 'images');
export const missingImages = (): string | undefined =>
  existsSync(IMAGES) ? undefined : 'no foreign images';

/** Opens the volume that begins at `start` of a file while `body` runs. */
export async function withVolume<T>(
  file: string,
  body: (fileSystem: FileSystem) => Promise<T>,
  place: { readonly start: number; readonly length?: number } = { start: 0 },
): Promise<T> {
  const disk = await nodeFiles().open(file);
  const volume = slice(disk, place.start, place.length ?? disk.size - place.start);
  try {
    const fileSystem = await openFileSystem(volume);
    try {
      return await body(fileSystem);
    } finally {
      await fileSystem.close();
    }
  } finally {
    await volume.close();
  }
}

type Field = keyof ListedFile;

/**
 * What two readers tell of each file, by its path as bytes have it. Of a directory only kind and time:
 * it has no content whose size they would agree on, nor a count of links.
 */
export function comparable(
  listing: Listing,
  fields: readonly Field[] = ['kind', 'size', 'links', 'modified', 'sha256'],
): Record<string, unknown> {
  const rows = [...listing].map(([name, file]): [string, unknown] => {
    const told = file.kind === 'directory' ? fields.filter(isOfDirectories) : fields;
    return [keyOfPath(nameToBytes(name)), Object.fromEntries(told.map((key) => [key, file[key]]))];
  });
  return Object.fromEntries(rows.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

const isOfDirectories = (field: Field): boolean => field === 'kind' || field === 'modified';

/** The node at a path of `/`-parted names. */
export async function nodeAt(fileSystem: FileSystem, filePath: string): Promise<NodeId> {
  let node = fileSystem.root;
  for (const name of filePath.split('/').filter((part) => part !== '')) {
    const next = await fileSystem.lookup(node, name);
    if (next === undefined) throw new Error(`no ${name} of ${filePath}`);
    node = next;
  }
  return node;
}

/** An extended attribute of everything under a mount point that has it, as hexadecimal digits. */
export async function attributesByGetfattr(
  mountPoint: string,
  name: string,
): Promise<Record<string, string>> {
  const options = ['-h', '-R', '-P', '--absolute-names', '-e', 'hex', '-n', name, mountPoint];
  const { stdout } = await run('getfattr', options, { accept: [0, 1] });
  const found: Record<string, string> = {};
  let current = '';
  for (const line of stdout.split('\n')) {
    if (line.startsWith('# file: ')) current = line.slice(`# file: ${mountPoint}`.length) || '/';
    else if (line.startsWith(`${name}=0x`)) found[current] = line.slice(`${name}=0x`.length);
  }
  return found;
}

/** The same as our reader has it. */
export async function attributesByUs(
  fileSystem: FileSystem,
  paths: readonly string[],
  name: string,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const filePath of paths) {
    const all = await fileSystem.xattrs(await nodeAt(fileSystem, filePath));
    const value = all.find((attribute) => attribute.name === name)?.value;
    if (value !== undefined) found[filePath] = Buffer.from(value).toString('hex');
  }
  return found;
}

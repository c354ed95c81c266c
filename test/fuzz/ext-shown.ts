/** All that is shown of a volume, to compare with what is shown of it damaged. */
import {
  type Attributes,
  BytesSource,
  type FileSystem,
  isRestoreError,
  type NodeId,
} from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { hashOf } from '../fixtures/file-systems/index.ts';

export interface Shown {
  /** By path: all that is shown of the file. */
  readonly files: Map<string, string>;
  /** An error was given, or the volume's health tells of damage. */
  readonly saysSo: boolean;
  /** It is said that the volume's sums are switched off, and should not be. */
  readonly hasLostChecksums?: boolean;
}

export async function show(bytes: Uint8Array): Promise<Shown> {
  const files = new Map<string, string>();
  let hasErrors = false;
  const trying = async (step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (error) {
      if (!isRestoreError(error)) throw error;
      hasErrors = true;
    }
  };
  let fileSystem: FileSystem | undefined;
  await trying(async () => {
    fileSystem = await openFileSystem(new BytesSource(bytes));
  });
  if (fileSystem === undefined) return { files, saysSo: hasErrors };
  const open: FileSystem = fileSystem;
  const waiting: [path: string, node: NodeId][] = [['', open.root]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [parent, directory] = next;
    await trying(async () => {
      for await (const batch of open.list(directory, { attributes: true })) {
        for (const { name, node, attributes } of batch) {
          const path = `${parent}/${name}`;
          if (attributes === undefined) hasErrors = true;
          else
            await trying(async () => void files.set(path, await shownOf(open, node, attributes)));
          if (attributes?.kind === 'directory') waiting.push([path, node]);
        }
      }
    });
  }
  const { state, findings } = open.health;
  const hasLostChecksums = findings.some(
    ({ where }) => where?.structure === 's_feature_ro_compat' && where.expected === 'metadata_csum',
  );
  return { files, saysSo: hasErrors || state !== 'clean', hasLostChecksums };
}

async function shownOf(
  fileSystem: FileSystem,
  node: NodeId,
  attributes: Attributes,
): Promise<string> {
  const { kind } = attributes;
  const content = kind === 'file' ? await hashOf(await fileSystem.open(node)) : '';
  const target = kind === 'symlink' ? await fileSystem.readLink(node) : '';
  const xattrs = await fileSystem.xattrs(node);
  return JSON.stringify({ attributes, content, target, xattrs });
}

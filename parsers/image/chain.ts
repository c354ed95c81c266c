import {
  type FileOpener,
  isRestoreError,
  RestoreError,
  readBytes,
  type SparseSource,
} from '../../core/index.ts';
import { corrupt } from './checks.ts';
import { IMAGE_DRIVERS } from './drivers.ts';
import { brokenPromise, foreignFormat } from './foreign.ts';
import {
  type ChainAccess,
  HEAD_BYTES,
  type ImageDriver,
  type ImageFile,
  type ImageFormat,
  type ImageHead,
  type Layer,
  type ParentReference,
  SECTOR_BYTES,
} from './image.ts';

/** Files that a disk may stand on, one above the other. */
const DEPTH_LIMIT = 256;
/** Files of one chain, extents and data files included. */
const FILE_COUNT_LIMIT = 8192;
const MIB = 1024 * 1024;

interface Root {
  readonly files: FileOpener;
  readonly opened: Map<string, SparseSource>;
  depth: number;
}

/**
 * The files of one disk: opens each once, follows references from child to parent, stops at cycles
 * and at a depth limit, and closes all. Each layer gets a chain of its own that knows the files
 * above it.
 */
export class Chain implements ChainAccess {
  readonly #root: Root;
  /** The paths from the disk's own file down to the one being opened. */
  readonly #lineage: readonly string[];
  /** True when the format of the file being opened is stated by its child or by the caller. */
  readonly #stated: boolean;

  constructor(
    files: FileOpener,
    above?: { root: Root; lineage: readonly string[]; stated: boolean },
  ) {
    this.#root = above?.root ?? { files, opened: new Map(), depth: 0 };
    this.#lineage = above?.lineage ?? [];
    this.#stated = above?.stated ?? true;
  }

  /** Every file opened so far, in order. */
  get paths(): readonly string[] {
    return [...this.#root.opened.keys()];
  }

  /** How many layers lie above one another. */
  get depth(): number {
    return this.#root.depth;
  }

  get tableBudgetBytes(): number {
    return this.#lineage.length <= 1 ? 4 * MIB : MIB;
  }

  /** Opens the disk's own file. */
  async openTop(path: string, format: ImageFormat | undefined): Promise<Layer> {
    return this.#openLayer({ path, source: await this.#open(path) }, format, true);
  }

  async openParent(child: ImageFile, parent: ParentReference): Promise<Layer> {
    const file = await this.openNeighbour(child, 'parent', [
      parent.reference,
      ...(parent.alternatives ?? []),
    ]);
    this.#checkLineage(child, file.path);
    return this.#openLayer(file, parent.format, parent.format !== undefined);
  }

  async openNeighbour(
    from: ImageFile,
    role: string,
    references: readonly string[],
  ): Promise<ImageFile> {
    this.#checkMayRefer(from, role, references[0]);
    const tried: string[] = [];
    for (const reference of references) {
      const path = this.#root.files.resolve(from.path, reference);
      if (tried.includes(path)) continue;
      tried.push(path);
      try {
        return { path, source: await this.#open(path) };
      } catch (error) {
        if (!isRestoreError(error, 'NOT_FOUND')) throw error;
      }
    }
    throw new RestoreError('NOT_FOUND', `the image's ${role} file is missing`, {
      where: {
        object: from.path,
        structure: `reference "${references[0] ?? ''}"`,
        expected: `a file at ${tried.join(' or ')}`,
        found: 'nothing',
      },
      hint: `Put the ${role} file at that path next to the others of its chain, then try again.`,
    });
  }

  /** Closes every file. Idempotent. */
  async close(): Promise<void> {
    const sources = [...this.#root.opened.values()];
    this.#root.opened.clear();
    await Promise.all(sources.map((source) => source.close()));
  }

  async #openLayer(
    file: ImageFile,
    format: ImageFormat | undefined,
    stated: boolean,
  ): Promise<Layer> {
    const root = this.#root;
    const lineage = [...this.#lineage, file.path];
    root.depth = Math.max(root.depth, lineage.length);
    if (file.source.size === 0) throw noDisk(file, 'at least one sector', 'an empty file');
    const driver = format === undefined ? await probe(file) : driverOf(format);
    try {
      return await driver.open(file, new Chain(root.files, { root, lineage, stated }));
    } catch (error) {
      throw named(error, file);
    }
  }

  async #open(path: string): Promise<SparseSource> {
    const { files, opened } = this.#root;
    const held = opened.get(path);
    if (held !== undefined) return held;
    if (opened.size >= FILE_COUNT_LIMIT) {
      throw new RestoreError('UNSUPPORTED', 'the disk is made of too many files', {
        where: { object: path, expected: `at most ${FILE_COUNT_LIMIT} files` },
      });
    }
    const source = await files.open(path);
    opened.set(path, source);
    return source;
  }

  #checkLineage(child: ImageFile, path: string): void {
    if (this.#lineage.includes(path)) {
      throw corrupt(child, 'the image stands on itself', {
        structure: 'parent reference',
        expected: 'a chain without a cycle',
        found: [...this.#lineage, path].join(' -> '),
      });
    }
    if (this.#lineage.length >= DEPTH_LIMIT) {
      throw corrupt(child, 'the chain of parent files is too long', {
        structure: 'parent reference',
        expected: `at most ${DEPTH_LIMIT} files`,
        found: `${this.#lineage.length + 1} files`,
      });
    }
  }

  /**
   * A parent whose format nobody stated may be a raw disk into whose first sector a guest wrote an
   * image header, to have the host's files read as its disk. So it may not refer to other files.
   */
  #checkMayRefer(from: ImageFile, role: string, reference: string | undefined): void {
    if (this.#stated) return;
    throw new RestoreError('UNSUPPORTED', `a file of unstated format refers to a ${role} file`, {
      where: {
        object: from.path,
        structure: `reference "${reference ?? ''}"`,
        expected: 'the format of this file, stated in its child',
        found: 'none: a guest could have written this header into a raw disk',
      },
      hint: `If the file is what it seems, state it: qemu-img rebase -u -b "${from.path}" -F FORMAT CHILD.`,
    });
  }
}

/** Layout readers know the place in a structure but not the file: an error says both. */
function named(error: unknown, file: ImageFile): unknown {
  if (!isRestoreError(error) || error.where.object !== undefined) return error;
  return new RestoreError(error.code, 'a structure of the image is damaged', {
    where: { object: file.path, ...error.where },
    hint:
      error.hint ?? 'Copy the image again from where it came from, or restore it from a backup.',
    cause: error,
  });
}

async function probe(file: ImageFile): Promise<ImageDriver> {
  const head = await readHead(file);
  const driver = IMAGE_DRIVERS.find((candidate) => candidate.probe(head));
  if (driver !== undefined) return driver;
  const foreign = foreignFormat(head);
  if (foreign !== undefined) {
    throw new RestoreError(
      'UNSUPPORTED',
      `the file is not a disk but a container: ${foreign.name}`,
      {
        where: { object: file.path, offset: foreign.at, expected: 'raw, qcow2, VMDK, VHD or VHDX' },
        hint: `${foreign.hint} If it is a raw disk that merely starts so, state the format raw.`,
      },
    );
  }
  const promised = brokenPromise(file.path);
  if (promised !== undefined) {
    throw new RestoreError('CORRUPT', `the file is named .${promised} but has no such structure`, {
      where: { object: file.path, offset: 0, expected: `a ${promised} header or footer` },
      hint: 'Check that the copy is complete. If it is a raw disk, state the format raw.',
    });
  }
  return driverOf('raw');
}

async function readHead({ source }: ImageFile): Promise<ImageHead> {
  const tailBytes = Math.min(SECTOR_BYTES, source.size);
  return {
    head: await readBytes(source, 0, Math.min(HEAD_BYTES, source.size)),
    tail: await readBytes(source, source.size - tailBytes, tailBytes),
    size: source.size,
  };
}

function driverOf(format: ImageFormat): ImageDriver {
  return IMAGE_DRIVERS.find((driver) => driver.format === format) as ImageDriver;
}

function noDisk(file: ImageFile, expected: string, found: string): RestoreError {
  return new RestoreError('INVALID', 'the file is not a disk', {
    where: { object: file.path, expected, found },
    hint: 'Check that this is the right file and that the copy is complete.',
  });
}

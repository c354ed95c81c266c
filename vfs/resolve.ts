import { nearest, RestoreError, showName } from '../core/index.ts';
import { readTarget } from './link-target.ts';
import { joinPath, type Place } from './place.ts';
import type { Tree } from './tree.ts';

/** Symbolic links on the way to one file, at the most; as Linux has it (path_resolution(7)). */
const LINKS_MAX = 40;
/** Directories deep that a path may lead. */
export const DEPTH_MAX = 1024;
/** Names looked at for "did you mean". */
const NAMES_MAX = 5_000;

export interface ResolveOptions {
  /** Follow the last name too when it is a symbolic link. */
  readonly follow?: boolean;
  /** Where absolute links lead: the machine's tree, when `tree` is one volume of it. */
  readonly machine?: () => Promise<Tree>;
  readonly signal?: AbortSignal;
}

/** Where a path led, and in which tree: an absolute link leads from a volume into the machine. */
export interface ResolvedPath {
  readonly tree: Tree;
  readonly place: Place;
}

/**
 * The file or directory at an absolute path. Names are matched by each volume's own rules of case;
 * `..` stays inside; links are followed inside the machine and never out of it.
 *
 * @throws RestoreError `NOT_FOUND` naming what is missing and what is near it, `INVALID` for a path
 *   through something that is no directory, `LIMIT` for too many links or levels, `UNSUPPORTED` for a
 *   link out of the machine, and what reading directories throws.
 */
export async function resolvePath(
  tree: Tree,
  path: string,
  options: ResolveOptions = {},
): Promise<ResolvedPath> {
  return await new Resolution(tree, path, options).run();
}

class Resolution {
  readonly #asked: string;
  readonly #options: ResolveOptions;
  /** From the tree's root down to where the path has led. */
  #stack: Place[] = [];
  #tree: Tree;
  /** Names still to be taken, the next one last. */
  readonly #left: string[];
  #links = 0;

  constructor(tree: Tree, path: string, options: ResolveOptions) {
    this.#tree = tree;
    this.#asked = path;
    this.#options = options;
    this.#left = path.split('/').toReversed();
  }

  async run(): Promise<ResolvedPath> {
    this.#stack = [await this.#tree.root()];
    for (let name = this.#left.pop(); name !== undefined; name = this.#left.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (this.#stack.length > 1) this.#stack.pop();
        continue;
      }
      await this.#take(name);
    }
    return { tree: this.#tree, place: this.#here };
  }

  get #here(): Place {
    return this.#stack.at(-1) as Place;
  }

  async #take(name: string): Promise<void> {
    const { signal } = this.#options;
    const parent = this.#here;
    if (this.#stack.length > DEPTH_MAX) throw this.#limit(`at most ${DEPTH_MAX} levels`);
    const { kind } = await parent.volume.fileSystem.stat(parent.node, signal);
    if (kind !== 'directory') throw this.#noDirectory(parent, kind);
    const child = await this.#tree.child(parent, name, signal);
    if (child === undefined) throw await this.#notFound(parent, name);
    // A slash behind the last name asks for what it leads to.
    const isLast = this.#left.length === 0;
    if (isLast && this.#options.follow !== true) {
      this.#stack.push(child);
      return;
    }
    const attributes = await child.volume.fileSystem.stat(child.node, signal);
    if (attributes.kind === 'symlink') await this.#follow(child);
    else this.#stack.push(child);
  }

  async #follow(link: Place): Promise<void> {
    this.#links += 1;
    if (this.#links > LINKS_MAX) throw this.#limit(`at most ${LINKS_MAX} symbolic links`);
    const target = await link.volume.fileSystem.readLink(link.node, this.#options.signal);
    const { from, names } = readTarget(target);
    if (this.#left.length + names.length > DEPTH_MAX * 2) {
      throw this.#limit(`at most ${DEPTH_MAX} levels`);
    }
    if (from === 'machine') {
      this.#tree = (await this.#options.machine?.()) ?? this.#tree;
      this.#stack = [await this.#tree.root()];
      if (target.style === 'windows') await this.#checkDrive(names[0] ?? '', target.target);
    }
    if (from === 'volume') this.#leaveToVolumeRoot(link);
    this.#left.push(...names.toReversed());
  }

  /** Up to where the link's own volume begins. */
  #leaveToVolumeRoot({ volume }: Place): void {
    const isRoot = (place: Place): boolean =>
      place.volume === volume && place.node === volume.fileSystem.root;
    while (this.#stack.length > 1 && !isRoot(this.#here)) this.#stack.pop();
  }

  /** A drive that is not among the machine's is another answer than a file that is not there. */
  async #checkDrive(drive: string, target: string): Promise<void> {
    if ((await this.#tree.child(this.#here, drive)) !== undefined) return;
    throw new RestoreError(
      'NOT_FOUND',
      `a link leads to ${showName(drive)}, whose volume is not known`,
      {
        where: { object: this.#asked, found: JSON.stringify(target) },
        hint: 'Name the volume in the address; `rehydrate volumes` lists them.',
      },
    );
  }

  async #notFound(parent: Place, name: string): Promise<RestoreError> {
    const near = nearest(name, await this.#someNames(parent)).map(showName);
    const missing = showName(joinPath(parent.path, name));
    const why = this.#links === 0 ? '' : `, where ${showName(this.#asked)} leads`;
    return new RestoreError('NOT_FOUND', `there is no ${missing}${why}`, {
      hint:
        near.length > 0
          ? `Did you mean ${near.join(' or ')}?`
          : '`rehydrate ls` lists what there is.',
    });
  }

  async #someNames(parent: Place): Promise<string[]> {
    const names: string[] = [];
    try {
      for await (const batch of this.#tree.list(parent)) {
        for (const { name } of batch) names.push(name);
        if (names.length > NAMES_MAX) break;
      }
    } catch {
      // A hint is a favour: what cannot be read has been told by the lookup.
    }
    return names;
  }

  #noDirectory(place: Place, kind: string): RestoreError {
    return new RestoreError('INVALID', `${showName(place.path)} is no directory`, {
      where: { object: showName(this.#asked), expected: 'a directory', found: kind },
    });
  }

  #limit(expected: string): RestoreError {
    return new RestoreError('LIMIT', 'the path leads on for too long', {
      where: { object: showName(this.#asked), expected },
      hint: 'A symbolic link leads back to itself, or the volume is damaged.',
    });
  }
}

/** Random work on a file tree: operations by chance, done by `work.py` under a mount point. */
import path from 'node:path';
import type { Random } from '../../fixtures/disks/random.ts';
import { run } from '../../fixtures/tools/index.ts';
import { type NameKind, randomName } from './names.ts';

/** What a file system and its driver can do. What they refuse all the same is passed over. */
export interface Abilities {
  readonly names: NameKind;
  readonly blockBytes: number;
  /** Where the last byte of a sparse file may be. */
  readonly reachBytes: number;
  /** Has links, modes, owners, devices and attributes. */
  readonly isPosix?: boolean;
  /** Has `fallocate`, inode flags and ACLs, as the kernel's own file systems do. */
  readonly isKernel?: boolean;
  readonly hasHardLinks?: boolean;
  /** Is a volume of its own, which may be filled up to have its free space in pieces. */
  readonly isFillable?: boolean;
  /** Is NTFS, under ntfs-3g: named streams (as `file:stream`), attributes of Windows. */
  readonly isNtfs?: boolean;
  /** The last moment that a file's time can be, in seconds since 1970; and the first. */
  readonly times: readonly [firstSeconds: number, lastSeconds: number];
  readonly unitNanoseconds: number;
}

/** One line for `work.py`, which says what each does. */
export type Operation = { readonly do: string } & Readonly<Record<string, unknown>>;

/** What was done, and what the file system refused, by the name of its error. */
export interface Done {
  readonly done: number;
  readonly refused: Readonly<Record<string, number>>;
}

const CONTENT_KINDS = ['noise', 'text', 'text', 'zeros'] as const;
const SIZES = [
  0, 1, 59, 60, 61, 150, 160, 511, 700, 1024, 4095, 4096, 4097, 20_000, 70_000, 300_000,
];
const INODE_FLAGS = {
  noDump: 0x40,
  noAtime: 0x80,
  topDirectory: 0x2_0000,
  extents: 0x8_0000,
} as const;

/** Operations by chance on a tree that this remembers; the same for the same random numbers. */
export class Work {
  readonly #random: Random;
  readonly #can: Abilities;
  readonly #folders: string[] = ['.'];
  #files: string[] = [];
  #others: string[] = [];
  readonly #taken = new Map<string, Set<string>>();

  constructor(random: Random, can: Abilities) {
    this.#random = random;
    this.#can = can;
  }

  /** So many operations; some are many writes. */
  operations(count: number): Operation[] {
    return Array.from({ length: count }, () => this.#next()).filter((one) => one !== undefined);
  }

  #next(): Operation | undefined {
    const random = this.#random;
    if (this.#files.length < 4 || random.below(100) < 22) return this.#make();
    const file = random.pick(this.#files);
    return random.pick(this.#acts())(file);
  }

  /** Each with its weight by how often it is listed. */
  #acts(): readonly ((file: string) => Operation | undefined)[] {
    const { isPosix, isKernel, hasHardLinks, isNtfs } = this.#can;
    const common = [this.#write, this.#write, this.#truncate, this.#islands, this.#inTurn];
    const names = [this.#remove, this.#rename, this.#times, this.#many];
    return [
      ...common,
      ...names,
      ...(hasHardLinks === true ? [this.#link] : []),
      ...(isNtfs === true ? [this.#stream, this.#stream, this.#dos] : []),
      ...(isPosix === true ? [this.#chmod, this.#chown, this.#setXattr, this.#removeXattr] : []),
      ...(isKernel === true
        ? [this.#allocate, this.#allocate, this.#allocate, this.#flag, this.#acl, this.#setXattr]
        : []),
      // It takes its time: seldom.
      ...(this.#can.isFillable === true && this.#random.below(25) === 0 ? [this.#fill] : []),
    ];
  }

  #make(): Operation {
    const random = this.#random;
    const chance = random.below(100);
    const place = this.#fresh();
    if (chance < 25) {
      this.#folders.push(place);
      return { do: 'mkdir', path: place };
    }
    if (chance < 35 && this.#can.isPosix === true) {
      this.#others.push(place);
      return random.below(3) === 0 ? this.#node(place) : this.#symlink(place);
    }
    this.#files.push(place);
    return { do: 'write', path: place, offset: 0, ...this.#content(random.pick(SIZES)) };
  }

  /** A name that is free in a folder that was made; deep ones as likely as others. */
  #fresh(folder = this.#random.pick(this.#folders)): string {
    const taken = this.#taken.get(folder) ?? new Set<string>();
    this.#taken.set(folder, taken);
    return `${folder}/${randomName(this.#random, this.#can.names, taken)}`;
  }

  #content(length: number): { length: number; seed: number; kind: string } {
    return { length, seed: this.#random.next(), kind: this.#random.pick(CONTENT_KINDS) };
  }

  #offset(): number {
    const random = this.#random;
    const { blockBytes, reachBytes } = this.#can;
    const reach = Math.min(
      reachBytes,
      random.pick([1000, 10_000, 100_000, 100_000, 1_000_000, 10_000_000, reachBytes]),
    );
    const at = Math.floor((random.next() / 2 ** 32) * reach);
    return random.below(2) === 0 ? at : at - (at % blockBytes);
  }

  readonly #write = (file: string): Operation => ({
    do: 'write',
    path: file,
    offset: this.#random.below(4) === 0 ? null : this.#offset(),
    ...this.#content(this.#random.pick(SIZES)),
    sync: this.#random.below(8) === 0,
  });

  readonly #truncate = (file: string): Operation => ({
    do: 'truncate',
    path: file,
    length: this.#random.below(3) === 0 ? this.#random.pick(SIZES) : this.#offset(),
  });

  readonly #islands = (file: string): Operation => {
    const random = this.#random;
    const { blockBytes } = this.#can;
    return {
      do: 'islands',
      path: file,
      start: random.below(50) * blockBytes + random.pick([0, 0, 100]),
      stride: blockBytes * random.between(2, 9),
      count: random.pick([3, 20, 100, 400]),
      length: random.pick([1, 100, blockBytes]),
      seed: random.next(),
      backwards: random.below(3) === 0,
    };
  };

  readonly #inTurn = (): Operation => {
    const random = this.#random;
    const paths = [random.pick(this.#files), random.pick(this.#files), this.#fresh()];
    this.#files.push(paths[2] as string);
    const { blockBytes } = this.#can;
    const length = random.pick([blockBytes, 3 * blockBytes, 1000]);
    return { do: 'in_turn', paths, turns: random.between(3, 12), length, seed: random.next() };
  };

  readonly #remove = (): Operation | undefined => {
    const random = this.#random;
    const list = random.pick([this.#files, this.#files, this.#others]);
    const gone = list.splice(random.below(Math.max(1, list.length)), 1)[0];
    return gone === undefined ? undefined : { do: 'remove', path: gone };
  };

  readonly #rename = (file: string): Operation => {
    const over = this.#random.below(5) === 0;
    const to = over ? this.#random.pick(this.#files) : this.#fresh();
    this.#files = [...this.#files.filter((one) => one !== file && one !== to), to];
    return { do: 'rename', path: file, to };
  };

  readonly #times = (file: string): Operation => ({
    do: 'times',
    path: this.#anything(file),
    accessed: this.#moment(),
    modified: this.#moment(),
  });

  #moment(): string {
    const random = this.#random;
    const [first, last] = this.#can.times;
    const around = [first, 0, 2 ** 31, 2 ** 32, last, 1_700_000_000];
    const near = random.pick(around) + random.between(-3, 3);
    const anywhere = first + Math.floor((random.next() / 2 ** 32) * (last - first));
    const seconds = Math.min(last, Math.max(first, random.below(2) === 0 ? near : anywhere));
    const unit = this.#can.unitNanoseconds;
    const fraction = random.pick([0, 999_999_999, random.below(1_000_000_000)]);
    return String(BigInt(seconds) * 1_000_000_000n + BigInt(fraction - (fraction % unit)));
  }

  readonly #many = (): Operation => {
    const random = this.#random;
    return {
      do: 'many',
      path: random.pick(this.#folders),
      prefix: `many${random.below(1000)}-`,
      count: random.pick([10, 50, 300]),
      seed: random.next(),
      keep: random.pick([0, 1, 2, 7]),
    };
  };

  readonly #link = (file: string): Operation => {
    const to = this.#fresh();
    this.#files.push(to);
    return { do: 'link', path: file, to };
  };

  readonly #stream = (file: string): Operation => ({
    do: 'write',
    path: `${this.#random.below(4) === 0 ? this.#random.pick(this.#folders) : file}:${this.#random.pick(STREAMS)}`,
    offset: this.#random.below(2) === 0 ? 0 : this.#offset(),
    ...this.#content(this.#random.pick(SIZES)),
  });

  /** New files in a compressed directory are compressed. System files are Interix's to ntfs-3g. */
  readonly #dos = (file: string): Operation => {
    const isFolder = this.#random.below(2) === 0;
    const bits = isFolder ? this.#random.pick([0x800, 0x800, 0]) : this.#random.below(4) | 0x2000;
    const value = bits.toString(16).padStart(8, '0');
    const place = isFolder ? this.#random.pick(this.#folders) : file;
    return { do: 'setraw', path: place, name: 'system.ntfs_attrib_be', value };
  };

  readonly #chmod = (file: string): Operation => ({
    do: 'chmod',
    path: this.#random.below(4) === 0 ? this.#random.pick(this.#folders) : file,
    mode: this.#random.below(0o10000) | 0o400,
  });

  readonly #chown = (file: string): Operation => ({
    do: 'chown',
    path: this.#anything(file),
    uid: this.#random.pick([0, 1, 1000, 65_535, 65_536, 4_000_000_000]),
    gid: this.#random.pick([0, 7, 1001, 65_534, 99_999, 4_294_967_294]),
  });

  readonly #setXattr = (file: string): Operation => ({
    do: 'setxattr',
    path: this.#random.below(3) === 0 ? this.#anything(file) : file,
    name: this.#random.pick(XATTRS),
    length: this.#random.pick([0, 1, 3, 4, 20, 60, 200, 900, 2000, 3900, 20_000, 60_000]),
    seed: this.#random.next(),
  });

  readonly #removeXattr = (file: string): Operation => ({
    do: 'rmxattr',
    path: file,
    name: this.#random.pick(XATTRS),
  });

  readonly #allocate = (file: string): Operation => {
    const random = this.#random;
    const { blockBytes } = this.#can;
    const offset = this.#offset();
    const length = random.pick([1, 100, blockBytes, 5 * blockBytes, 64 * blockBytes, 1_000_000]);
    const mode = random.pick(['allocate', 'keep', 'punch', 'punch', 'collapse', 'zero', 'insert']);
    const isWhole = mode === 'collapse' || mode === 'insert';
    const rounded = (value: number): number => Math.ceil(value / blockBytes) * blockBytes;
    return isWhole
      ? {
          do: 'fallocate',
          path: file,
          mode,
          offset: rounded(offset % 200_000),
          length: rounded(length),
        }
      : { do: 'fallocate', path: file, mode, offset, length };
  };

  readonly #flag = (file: string): Operation => ({
    do: 'flag',
    path: this.#random.below(5) === 0 ? this.#random.pick(this.#folders) : file,
    bit: this.#random.pick([INODE_FLAGS.extents, ...Object.values(INODE_FLAGS)]),
    on: this.#random.below(2) === 0,
  });

  readonly #acl = (file: string): Operation => {
    const isDefault = this.#random.below(3) === 0;
    const users = Array.from({ length: this.#random.between(1, 20) }, () =>
      this.#random.below(99_999),
    );
    return {
      do: 'acl',
      path: isDefault ? this.#random.pick(this.#folders) : file,
      users,
      is_default: isDefault,
    };
  };

  readonly #fill = (): Operation => ({
    do: 'fill',
    path: this.#random.pick(this.#folders),
    length: this.#can.blockBytes * this.#random.pick([1, 3, 20, 100]),
    seed: this.#random.next(),
  });

  #node(place: string): Operation {
    const random = this.#random;
    const kind = random.pick(['fifo', 'socket', 'character-device', 'block-device']);
    const major = random.pick([1, 4, 8, 255, 256, 4095]);
    const minor = random.pick([0, 1, 255, 256, 70_000, 1_048_575]);
    return { do: 'mknod', path: place, kind, major, minor };
  }

  #symlink(place: string): Operation {
    const length = this.#random.pick([1, 20, 58, 59, 60, 61, 100, 159, 160, 300, 1000, 1023, 4000]);
    const part = this.#random.pick(['x', '../', 'é', '/a b/', '\udcff', './']);
    const target = part.repeat(Math.ceil(length / part.length)).slice(0, length);
    return { do: 'symlink', path: place, target };
  }

  #anything(file: string): string {
    return this.#random.pick([file, this.#random.pick(this.#folders), ...this.#others.slice(-3)]);
  }
}

const STREAMS = [
  'Zone.Identifier',
  'notes',
  'größer',
  's',
  'a longer name of a stream, with blanks',
];
const XATTRS = [
  'user.a',
  'user.some longer name',
  'trusted.one',
  'security.other',
  'user.größe',
  `user.${'n'.repeat(200)}`,
];

const WORK_TIMEOUT_MS = 600_000;

/** Does the work under a mount point. */
export async function doWork(root: string, operations: readonly Operation[]): Promise<Done> {
  const script = path.join(import.meta.dirname, 'work.py');
  const input = operations.map((one) => `${JSON.stringify(one)}\n`).join('');
  const env = { LC_ALL: 'C.UTF-8' };
  const options = { input, env, accept: [0, 1, -1], timeoutMs: WORK_TIMEOUT_MS };
  const { exitCode, stdout, stderr } = await run('python3', [script, root], options);
  // No refusal of a file system's, those are counted: a fault of the script.
  if (exitCode !== 0) throw new Error(`work.py: ${stderr}`);
  return JSON.parse(stdout) as Done;
}

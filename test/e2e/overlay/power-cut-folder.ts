import { RestoreError } from '../../../core/index.ts';
import type { OverlayFile, OverlayFolder } from '../../../store-writer/index.ts';

/** What storage keeps or loses as one. */
const SECTOR_BYTES = 512;

interface Inode {
  bytes: Uint8Array;
  sizeBytes: number;
}

type Operation =
  | {
      readonly type: 'write';
      readonly inode: Inode;
      readonly offset: number;
      readonly data: Uint8Array;
    }
  | { readonly type: 'size'; readonly inode: Inode; readonly sizeBytes: number }
  | { readonly type: 'sync'; readonly inode: Inode; readonly startedAt: number }
  | { readonly type: 'name'; readonly apply: (names: Map<string, Inode>) => void }
  | { readonly type: 'syncNames'; readonly startedAt: number };

export interface FolderOptions {
  /** Files whose sync says it is done and does nothing, as storage that lies. */
  readonly lyingSyncs?: readonly string[];
  /** Whether a sync of this file fails, just now. */
  readonly failsToSync?: (name: string) => boolean;
  /** Called at every turn where something else may happen first. */
  readonly pause?: () => Promise<void>;
}

/**
 * A folder in memory that remembers every operation, so that the power can be cut afterwards at any
 * of them. What was synced is kept; of all else, any sectors in any version are.
 */
export class PowerCutFolder implements OverlayFolder {
  readonly path = 'memory';
  readonly log: Operation[] = [];
  readonly #names: Map<string, Inode>;
  readonly #options: FolderOptions;
  /** What was there, durable, at the start: names, and each file's bytes. */
  readonly #before: { names: Map<string, Inode>; contents: Map<Inode, Inode> };

  constructor(names: Map<string, Inode> = new Map(), options: FolderOptions = {}) {
    this.#names = names;
    this.#options = options;
    const contents = [...names.values()].map((inode) => [inode, clone(inode)] as const);
    this.#before = { names: new Map(names), contents: new Map(contents) };
  }

  async create(name: string): Promise<OverlayFile> {
    const inode: Inode = { bytes: new Uint8Array(0), sizeBytes: 0 };
    this.#name((names) => names.set(name, inode));
    return this.#file(name, inode);
  }

  async open(name: string): Promise<OverlayFile> {
    return this.#file(name, this.#inode(name));
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#inode(from);
    this.#name((names) => {
      names.set(to, inode);
      names.delete(from);
    });
  }

  async remove(name: string): Promise<void> {
    this.#name((names) => names.delete(name));
  }

  async sync(): Promise<void> {
    const startedAt = this.log.length;
    await this.#options.pause?.();
    this.log.push({ type: 'syncNames', startedAt });
  }

  freeBytes(): number {
    return Number.MAX_SAFE_INTEGER;
  }

  /** Files as they are now, to be written elsewhere. */
  *files(): Generator<{ name: string; bytes: Uint8Array }> {
    for (const [name, { bytes, sizeBytes }] of this.#names) {
      yield { name, bytes: bytes.subarray(0, sizeBytes) };
    }
  }

  /** This folder after a cut that loses all that was not made durable since it was made. */
  afterCut(): PowerCutFolder {
    const power = new PowerCuts(this.log, this.#before);
    power.advance(this.log.length);
    return power.cut('all lost', () => 0);
  }

  #name(apply: (names: Map<string, Inode>) => void): void {
    apply(this.#names);
    this.log.push({ type: 'name', apply });
  }

  #inode(name: string): Inode {
    const inode = this.#names.get(name);
    if (inode === undefined) throw new RestoreError('NOT_FOUND', `there is no file ${name}`);
    return inode;
  }

  #file(name: string, inode: Inode): OverlayFile {
    const { log } = this;
    const pause = async (): Promise<void> => await this.#options.pause?.();
    const write = (data: Uint8Array, offset: number): void => {
      log.push({ type: 'write', inode, offset, data: data.slice() });
      put(inode, offset, data);
    };
    return {
      sizeBytes: () => inode.sizeBytes,
      resize: async (sizeBytes) => {
        log.push({ type: 'size', inode, sizeBytes });
        resize(inode, sizeBytes);
      },
      readNow: (target, offset) => {
        // Half of the time as if the page cache did not hold it.
        if (this.#options.pause !== undefined && log.length % 2 === 0) return false;
        target.set(inode.bytes.subarray(offset, offset + target.byteLength));
        return true;
      },
      read: async (target, offset) => {
        await pause();
        if (offset + target.byteLength > inode.sizeBytes)
          throw new RestoreError('CORRUPT', 'short');
        target.set(inode.bytes.subarray(offset, offset + target.byteLength));
      },
      writeNow: write,
      write: async (data, offset) => {
        // In two halves, with a pause between: others run meanwhile.
        const half = Math.floor(data.byteLength / 2 / SECTOR_BYTES) * SECTOR_BYTES;
        if (half > 0) write(data.subarray(0, half), offset);
        await pause();
        write(data.subarray(half), offset + half);
      },
      punch: async (offset, length) => {
        await pause();
        write(new Uint8Array(length), offset);
        return true;
      },
      sync: async () => {
        const startedAt = log.length;
        await pause();
        if (this.#options.failsToSync?.(name) === true) throw new RestoreError('IO', 'EIO');
        if (this.#options.lyingSyncs?.includes(name) !== true) {
          log.push({ type: 'sync', inode, startedAt });
        }
      },
      close: async () => undefined,
    };
  }
}

/** What becomes of sectors that were written and not synced. */
export type Fate = 'all lost' | 'all kept' | 'any';

/**
 * Walks through a log and gives the folder that a power cut leaves, at any point of it.
 */
export class PowerCuts {
  readonly #log: readonly Operation[];
  readonly #durable: Map<Inode, Inode>;
  readonly #names: Map<string, Inode>;
  #position = 0;
  /** Operations that are not durable yet, with their places in the log. */
  #pending: { readonly at: number; readonly operation: Operation }[] = [];

  /** @param before what was durable when the log began. */
  constructor(
    log: readonly Operation[],
    before: { names: Map<string, Inode>; contents: Map<Inode, Inode> } = {
      names: new Map(),
      contents: new Map(),
    },
  ) {
    this.#log = log;
    this.#names = new Map(before.names);
    this.#durable = new Map(before.contents);
  }

  /** Goes on to where `position` operations have happened. Positions must not go down. */
  advance(position: number): void {
    for (; this.#position < position; this.#position += 1) {
      const operation = this.#log[this.#position] as Operation;
      if (operation.type === 'sync') this.#settle(operation.inode, operation.startedAt);
      else if (operation.type === 'syncNames') this.#settleNames(operation.startedAt);
      else this.#pending.push({ at: this.#position, operation });
    }
  }

  /** The folder after a cut right here. */
  cut(fate: Fate, random: () => number): PowerCutFolder {
    const copies = new Map<Inode, Inode>();
    const copyOf = (inode: Inode): Inode => {
      const found = copies.get(inode) ?? clone(this.#durable.get(inode));
      copies.set(inode, found);
      return found;
    };
    const names = new Map(this.#names);
    // Names are kept in the order in which they were made, up to some point.
    let keepsNames = true;
    for (const { operation } of this.#pending) {
      if (operation.type === 'name') {
        keepsNames &&= kept(fate, random);
        if (keepsNames) operation.apply(names);
      } else if (operation.type === 'size') {
        if (kept(fate, random)) resize(copyOf(operation.inode), operation.sizeBytes);
      } else if (operation.type === 'write') {
        this.#tear(operation, copyOf(operation.inode), fate, random);
      }
    }
    const left = [...names].map(([name, inode]) => [name, copyOf(inode)] as const);
    return new PowerCutFolder(new Map(left));
  }

  /** A sector shows this version, or keeps what it had from any before. */
  #tear(
    { offset, data }: Extract<Operation, { type: 'write' }>,
    inode: Inode,
    fate: Fate,
    random: () => number,
  ): void {
    if (fate === 'all lost') return;
    for (let at = 0; at < data.byteLength; ) {
      const next = Math.min(data.byteLength, at + SECTOR_BYTES - ((offset + at) % SECTOR_BYTES));
      if (kept(fate, random)) put(inode, offset + at, data.subarray(at, next));
      at = next;
    }
  }

  #settle(inode: Inode, before: number): void {
    const durable = this.#durable.get(inode) ?? clone(undefined);
    this.#durable.set(inode, durable);
    this.#pending = this.#pending.filter(({ at, operation }) => {
      if (at >= before || !('inode' in operation) || operation.inode !== inode) return true;
      if (operation.type === 'write') put(durable, operation.offset, operation.data);
      if (operation.type === 'size') resize(durable, operation.sizeBytes);
      return false;
    });
  }

  #settleNames(before: number): void {
    this.#pending = this.#pending.filter(({ at, operation }) => {
      if (at >= before || operation.type !== 'name') return true;
      operation.apply(this.#names);
      return false;
    });
  }
}

function kept(fate: Fate, random: () => number): boolean {
  return fate === 'all kept' || (fate === 'any' && random() < 0.5);
}

function clone(inode: Inode | undefined): Inode {
  return { bytes: inode?.bytes.slice() ?? new Uint8Array(0), sizeBytes: inode?.sizeBytes ?? 0 };
}

function put(inode: Inode, offset: number, data: Uint8Array): void {
  const end = offset + data.byteLength;
  if (end > inode.sizeBytes) resize(inode, end);
  inode.bytes.set(data, offset);
}

function resize(inode: Inode, sizeBytes: number): void {
  if (sizeBytes > inode.bytes.byteLength) {
    const grown = new Uint8Array(Math.max(sizeBytes, inode.bytes.byteLength * 2));
    grown.set(inode.bytes);
    inode.bytes = grown;
  }
  inode.bytes.fill(0, sizeBytes);
  inode.sizeBytes = sizeBytes;
}

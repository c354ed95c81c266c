import { linkSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { compileCacheFolder } from './compile-cache.ts';

/** Where inspectors' compiled code is kept, in this process's own cache. */
const KEPT = 'inspector';
/** Folders of inspectors that start: process id of who starts them, and a number. */
const STARTING = /^starting-(\d+)-\d+$/;

let count = 0;

/**
 * The cache of compiled code of one inspector while it starts: a folder of its own with what is kept
 * from others. Node stores what a process compiled whenever that process says so, whatever rights it
 * has given up; so what an inspector compiled is kept only as long as it has read nothing of others,
 * and then its folder goes away. Else one that was taken over could choose what the next one runs.
 */
export class StartCache {
  readonly folder: string;
  readonly #kept: string;

  private constructor(folder: string, kept: string) {
    this.folder = folder;
    this.#kept = kept;
  }

  /** @returns `undefined` where this process has no cache, or none that it may write to. */
  static make(): StartCache | undefined {
    const own = compileCacheFolder();
    if (own === undefined) return undefined;
    count += 1;
    const cache = new StartCache(
      path.join(own, `starting-${process.pid}-${count}`),
      path.join(own, KEPT),
    );
    try {
      removeLeftovers(own);
      mkdirSync(cache.#kept, { recursive: true, mode: 0o700 });
      mkdirSync(cache.folder, { mode: 0o700 });
      copyEntries(cache.#kept, cache.folder, linkSync);
      return cache;
    } catch {
      cache.remove();
      return undefined;
    }
  }

  /** Keeps what the inspector stored. To be called before it reads anything of others, or never. */
  keep(): void {
    try {
      copyEntries(this.folder, this.#kept, renameSync);
    } catch {
      // The next one compiles again.
    }
    this.remove();
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Entries of one that are not in the other; Node puts them into a folder named by its version. */
function copyEntries(from: string, to: string, move: (from: string, to: string) => void): void {
  for (const version of readdirSync(from)) {
    mkdirSync(path.join(to, version), { recursive: true, mode: 0o700 });
    const there = new Set(readdirSync(path.join(to, version)));
    for (const name of readdirSync(path.join(from, version))) {
      if (!there.has(name)) move(path.join(from, version, name), path.join(to, version, name));
    }
  }
}

/** Of processes that ended while an inspector of theirs started. */
function removeLeftovers(own: string): void {
  for (const name of readdirSync(own)) {
    const processId = STARTING.exec(name)?.[1];
    if (processId !== undefined && !isAlive(Number(processId))) {
      rmSync(path.join(own, name), { recursive: true, force: true });
    }
  }
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

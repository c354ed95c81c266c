import type { Budget, RestoreError } from '../../../core/index.ts';
import type { ContentRun, MissingRun } from '../content.ts';

/** Clusters that follow one another on the volume. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

/** What is known of a chain of clusters. */
export interface Chain {
  readonly runs: readonly ClusterRun[];
  readonly clusterCount: number;
  /** The chain's own end was seen. Else it goes on, as far as known, or is damaged. */
  readonly isWhole: boolean;
  /** Why it breaks off. */
  readonly damage?: RestoreError | undefined;
}

/** Where clusters lie: number 2 is the first. */
export interface ClusterSpace {
  readonly dataAt: number;
  readonly clusterBytes: number;
  readonly clusterCount: number;
}

/** Two numbers and an object, twice: the content makes its own list. */
const BYTES_PER_RUN = 192;
const RUNS_PER_HOLD = 4096;

/**
 * A chain being followed: its runs, and a memory of the clusters it came by. That memory is kept only
 * from the first step backwards: a chain that only ever goes forwards meets no cluster twice.
 */
export class Trail {
  readonly #clusterCount: number;
  readonly #budget: Budget;
  readonly #runs: { first: number; count: number }[] = [];
  #visited: Uint8Array | undefined;
  #heldBytes = 0;
  #length = 0;

  constructor(clusterCount: number, budget: Budget) {
    this.#clusterCount = clusterCount;
    this.#budget = budget;
  }

  get length(): number {
    return this.#length;
  }

  get runs(): readonly ClusterRun[] {
    return this.#runs;
  }

  /** Appends a valid cluster; false when the chain came by it before. */
  add(cluster: number): boolean {
    const last = this.#runs.at(-1);
    const next = last === undefined ? cluster : last.first + last.count;
    if (cluster < next && this.#visited === undefined) this.#remember();
    if (this.#visited !== undefined && !visit(this.#visited, cluster)) return false;
    if (last !== undefined && cluster === next) last.count += 1;
    else this.#begin(cluster);
    this.#length += 1;
    return true;
  }

  release(): void {
    this.#budget.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  #begin(first: number): void {
    if (this.#runs.length % RUNS_PER_HOLD === 0) this.#hold(RUNS_PER_HOLD * BYTES_PER_RUN);
    this.#runs.push({ first, count: 1 });
  }

  #remember(): void {
    const byteCount = Math.ceil((this.#clusterCount + 2) / 8);
    this.#hold(byteCount);
    this.#visited = new Uint8Array(byteCount);
    for (const { first, count } of this.#runs) {
      for (let cluster = first; cluster < first + count; cluster += 1)
        visit(this.#visited, cluster);
    }
  }

  #hold(byteCount: number): void {
    this.#budget.hold(byteCount);
    this.#heldBytes += byteCount;
  }
}

/** Marks a cluster; false when it was marked. */
function visit(visited: Uint8Array, cluster: number): boolean {
  const index = Math.floor(cluster / 8);
  const bit = 1 << (cluster % 8);
  const byte = visited[index] ?? 0;
  visited[index] = byte | bit;
  return (byte & bit) === 0;
}

/** The first byte of a cluster. */
export function clusterAt(space: ClusterSpace, cluster: number): number {
  return space.dataAt + (cluster - 2) * space.clusterBytes;
}

/**
 * A chain as the runs of a content, up to `sizeBytes`. What the chain lacks, and what lies behind the
 * end of a volume that was cut off, is missing and never zeros.
 */
export function contentRuns(
  chain: Pick<Chain, 'runs'>,
  space: ClusterSpace,
  sizeBytes: number,
  volumeBytes: number,
  missing: () => RestoreError,
): (ContentRun | MissingRun)[] {
  const runs: (ContentRun | MissingRun)[] = [];
  let offset = 0;
  for (const { first, count } of chain.runs) {
    const at = clusterAt(space, first);
    const length = Math.min(count * space.clusterBytes, sizeBytes - offset);
    const there = Math.min(length, Math.max(0, volumeBytes - at));
    if (there > 0) runs.push({ offset, length: there, at });
    if (there < length) {
      runs.push({ offset: offset + there, length: length - there, missing: missing() });
    }
    offset += length;
  }
  if (offset < sizeBytes) runs.push({ offset, length: sizeBytes - offset, missing: missing() });
  return runs;
}

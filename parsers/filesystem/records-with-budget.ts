import type {
  BlockSource,
  Budget,
  ContentPlace,
  Extent,
  NodeId,
  Ranges,
  RecordMap,
  RecordName,
  RecordRun,
} from '../../core/index.ts';

/** Renews `budget` at the beginning of every call, and with everything that a long one yields. */
export function recordsWithBudget(next: RecordMap, budget: Budget): RecordMap {
  return new Budgeted(next, budget);
}

class Budgeted implements RecordMap {
  readonly geometry: string;
  readonly replayed: readonly Extent[];
  readonly unitBytes: number;
  readonly recordBytes: number;
  readonly bytes: BlockSource;
  readonly #next: RecordMap;
  readonly #budget: Budget;

  constructor(next: RecordMap, budget: Budget) {
    this.#next = next;
    this.#budget = budget;
    this.geometry = next.geometry;
    this.replayed = next.replayed;
    this.unitBytes = next.unitBytes;
    this.recordBytes = next.recordBytes;
    this.bytes = lent(next.bytes, budget);
  }

  recordsIn(ranges: Ranges, signal?: AbortSignal): AsyncIterable<RecordRun> {
    return this.#each(this.#next.recordsIn(ranges, signal));
  }

  recordPlaces(signal?: AbortSignal): AsyncIterable<ContentPlace> {
    return this.#each(this.#next.recordPlaces(signal));
  }

  readRecords(run: RecordRun, signal?: AbortSignal): Promise<Uint8Array> {
    this.#budget.renew();
    return this.#next.readRecords(run, signal);
  }

  baseOf(number: number, signal?: AbortSignal): Promise<number> {
    this.#budget.renew();
    return this.#next.baseOf(number, signal);
  }

  fileOf(number: number, signal?: AbortSignal): Promise<NodeId | undefined> {
    this.#budget.renew();
    return this.#next.fileOf(number, signal);
  }

  numberOf(node: NodeId): number {
    return this.#next.numberOf(node);
  }

  placesOf(number: number, signal?: AbortSignal): AsyncIterable<Extent> {
    return this.#each(this.#next.placesOf(number, signal));
  }

  ownPlaces(signal?: AbortSignal): AsyncIterable<Extent> {
    return this.#each(this.#next.ownPlaces(signal));
  }

  freeIn(ranges: Ranges, signal?: AbortSignal): AsyncIterable<Extent> {
    return this.#each(this.#next.freeIn(ranges, signal));
  }

  ownersOf(ranges: Ranges, signal?: AbortSignal): AsyncIterable<number> {
    return this.#each(this.#next.ownersOf(ranges, signal));
  }

  namesOf(
    numbers: ReadonlySet<number>,
    first: readonly number[],
    signal?: AbortSignal,
  ): AsyncIterable<RecordName> {
    return this.#each(this.#next.namesOf(numbers, first, signal));
  }

  async *#each<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    this.#budget.renew();
    for await (const item of items) {
      yield item;
      this.#budget.renew();
    }
  }
}

function lent(next: BlockSource, budget: Budget): BlockSource {
  return {
    size: next.size,
    sectorSize: next.sectorSize,
    readInto: (target, offset, signal) => {
      budget.renew();
      return next.readInto(target, offset, signal);
    },
    peek: (offset, length) => {
      budget.renew();
      return next.peek(offset, length);
    },
    close: async () => {},
  };
}

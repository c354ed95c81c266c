import {
  type Attributes,
  type BlockSource,
  type Budget,
  type ContentPlace,
  type DirectoryEntry,
  type Extent,
  type ExtendedAttribute,
  type FileSystem,
  isLocated,
  type LinkTarget,
  type ListOptions,
  type LocatedSource,
  type NodeId,
  type RecordMap,
  type SectorSize,
  type SpaceUse,
  type SparseSource,
  type StreamEntry,
  type VolumeHealth,
} from '../../core/index.ts';
import { recordsWithBudget } from './records-with-budget.ts';

/** Renews `budget` at the beginning of every call; a batch of a listing is a call of its own. */
export function withBudget(next: FileSystem, budget: Budget): FileSystem {
  return new Budgeted(next, budget);
}

class Budgeted implements FileSystem {
  declare readonly records?: RecordMap;
  declare readonly countFree?: (signal?: AbortSignal) => Promise<number | undefined>;
  readonly #next: FileSystem;
  readonly #budget: Budget;

  constructor(next: FileSystem, budget: Budget) {
    this.#next = next;
    this.#budget = budget;
    const { records } = next;
    if (records !== undefined) this.records = recordsWithBudget(records, budget);
    if (next.countFree === undefined) return;
    this.countFree = async (signal) => {
      budget.renew();
      return await next.countFree?.(signal);
    };
  }

  get type(): string {
    return this.#next.type;
  }
  get label(): string {
    return this.#next.label;
  }
  get uuid(): string {
    return this.#next.uuid;
  }
  get caseSensitive(): boolean {
    return this.#next.caseSensitive;
  }
  get root(): NodeId {
    return this.#next.root;
  }
  get health(): VolumeHealth {
    return this.#next.health;
  }
  get space(): SpaceUse {
    return this.#next.space;
  }

  lookup(parent: NodeId, name: string, signal?: AbortSignal): Promise<NodeId | undefined> {
    this.#budget.renew();
    return this.#next.lookup(parent, name, signal);
  }

  stat(node: NodeId, signal?: AbortSignal): Promise<Attributes> {
    this.#budget.renew();
    return this.#next.stat(node, signal);
  }

  async *list(node: NodeId, options?: ListOptions): AsyncGenerator<readonly DirectoryEntry[]> {
    this.#budget.renew();
    for await (const batch of this.#next.list(node, options)) {
      yield batch;
      this.#budget.renew();
    }
  }

  async open(node: NodeId, stream?: string, signal?: AbortSignal): Promise<SparseSource> {
    this.#budget.renew();
    const content = await this.#next.open(node, stream, signal);
    return isLocated(content)
      ? new BudgetedLocated(content, this.#budget)
      : new BudgetedContent(content, this.#budget);
  }

  readLink(node: NodeId, signal?: AbortSignal): Promise<LinkTarget> {
    this.#budget.renew();
    return this.#next.readLink(node, signal);
  }

  xattrs(node: NodeId, signal?: AbortSignal): Promise<readonly ExtendedAttribute[]> {
    this.#budget.renew();
    return this.#next.xattrs(node, signal);
  }

  streams(node: NodeId, signal?: AbortSignal): Promise<readonly StreamEntry[]> {
    this.#budget.renew();
    return this.#next.streams(node, signal);
  }

  close(): Promise<void> {
    return this.#next.close();
  }
}

class BudgetedContent implements SparseSource {
  readonly #next: SparseSource;
  readonly #budget: Budget;

  constructor(next: SparseSource, budget: Budget) {
    this.#next = next;
    this.#budget = budget;
  }

  get size(): number {
    return this.#next.size;
  }
  get sectorSize(): SectorSize {
    return this.#next.sectorSize;
  }

  readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    this.#budget.renew();
    return this.#next.readInto(target, offset, signal);
  }

  peek(offset: number, length: number): ReturnType<BlockSource['peek']> {
    this.#budget.renew();
    return this.#next.peek(offset, length);
  }

  extents(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Extent> {
    this.#budget.renew();
    return this.#next.extents(offset, length, signal);
  }

  close(): Promise<void> {
    return this.#next.close();
  }
}

class BudgetedLocated extends BudgetedContent implements LocatedSource {
  readonly #next: LocatedSource;
  readonly #budget: Budget;

  constructor(next: LocatedSource, budget: Budget) {
    super(next, budget);
    this.#next = next;
    this.#budget = budget;
  }

  places(signal?: AbortSignal): AsyncIterable<ContentPlace> {
    this.#budget.renew();
    return this.#next.places(signal);
  }
}

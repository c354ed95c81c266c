/** Which clusters of a disk hold data, one bit each, with fast counting. */
export class AllocationMap {
  readonly clusterCount: number;
  /** Clusters that hold data. */
  readonly dataCount: number;
  readonly #words: Uint32Array;
  readonly #groupClusters: number;
  /** Data clusters before each group. */
  readonly #before: Float64Array;

  /** @param groupClusters clusters of one L2 table; a multiple of 32. */
  constructor(words: Uint32Array, clusterCount: number, groupClusters: number) {
    this.#words = words;
    this.#groupClusters = groupClusters;
    this.clusterCount = clusterCount;
    const groups = Math.ceil(clusterCount / groupClusters);
    this.#before = new Float64Array(groups + 1);
    for (let group = 0; group < groups; group += 1) {
      this.#before[group + 1] = this.#dataBefore(group) + this.#countInGroup(group);
    }
    this.dataCount = this.#dataBefore(groups);
  }

  isData(cluster: number): boolean {
    return (((this.#words[cluster >>> 5] as number) >>> (cluster & 31)) & 1) === 1;
  }

  /** Data clusters before the first of `group`. */
  dataBeforeGroup(group: number): number {
    return this.#dataBefore(group);
  }

  hasData(group: number): boolean {
    return this.#dataBefore(group + 1) > this.#dataBefore(group);
  }

  /** The number of the `rank`-th data cluster, counted from 0. */
  select(rank: number): number {
    let low = 0;
    let high = this.#before.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#dataBefore(middle) <= rank) low = middle;
      else high = middle;
    }
    let left = rank - this.#dataBefore(low);
    let word = (low * this.#groupClusters) / 32;
    for (; ; word += 1) {
      const count = countBits(this.#words[word] as number);
      if (left < count) break;
      left -= count;
    }
    return word * 32 + selectBit(this.#words[word] as number, left);
  }

  #dataBefore(group: number): number {
    return this.#before[group] as number;
  }

  #countInGroup(group: number): number {
    const first = (group * this.#groupClusters) / 32;
    const last = Math.min(this.#words.length, first + this.#groupClusters / 32);
    let count = 0;
    for (let word = first; word < last; word += 1) count += countBits(this.#words[word] as number);
    return count;
  }
}

function countBits(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The place of the `rank`-th bit that is set. */
function selectBit(word: number, rank: number): number {
  let rest = word;
  for (let skipped = 0; skipped < rank; skipped += 1) rest &= rest - 1;
  return 31 - Math.clz32(rest & -rest);
}

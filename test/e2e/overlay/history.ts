/** One version of a run of sectors: what a write, or a discard, made of it. */
interface Version {
  readonly number: number;
  readonly first: number;
  readonly count: number;
  readonly isDiscard: boolean;
  /** Places in the folder's log. */
  readonly begunAt: number;
  resolvedAt: number;
}

const SECTOR_BYTES = 512;

/**
 * Everything that was ever written to a device, in order, so that after a power cut each sector can
 * be asked: are you one of those that you may be? Writes to one sector must not overlap in time.
 */
export class History {
  readonly #base: Uint8Array;
  readonly #bySector: Version[][];
  readonly #flushes: { readonly startedAt: number; readonly endedAt: number }[] = [];
  #count = 0;

  constructor(base: Uint8Array) {
    this.#base = base;
    this.#bySector = Array.from({ length: base.byteLength / SECTOR_BYTES }, () => []);
  }

  begin(first: number, count: number, isDiscard: boolean, begunAt: number): Version {
    this.#count += 1;
    const version: Version = {
      number: this.#count,
      first,
      count,
      isDiscard,
      begunAt,
      resolvedAt: Number.POSITIVE_INFINITY,
    };
    for (let sector = first; sector < first + count; sector += 1) {
      this.#bySector[sector]?.push(version);
    }
    return version;
  }

  /** The bytes of a version: in each sector its number and the sector's, all over. */
  bytesOf({ number, first, count, isDiscard }: Version): Uint8Array {
    const words = new Uint32Array((count * SECTOR_BYTES) / 4);
    if (isDiscard) return new Uint8Array(words.buffer);
    for (let at = 0; at < words.length; at += 2) {
      words[at] = number;
      words[at + 1] = first + Math.floor((at * 4) / SECTOR_BYTES) + 1;
    }
    return new Uint8Array(words.buffer);
  }

  flushed(startedAt: number, endedAt: number): void {
    this.#flushes.push({ startedAt, endedAt });
  }

  /** What is wrong with `content`, found after a cut at `position` of the log; nothing when all is well. */
  complaint(content: Uint8Array, position: number): string | undefined {
    let flushedBefore = -1;
    for (const { startedAt, endedAt } of this.#flushes) {
      if (endedAt <= position) flushedBefore = Math.max(flushedBefore, startedAt);
    }
    for (const [sector, versions] of this.#bySector.entries()) {
      const found = content.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
      const safe = versions.findLastIndex(({ resolvedAt }) => resolvedAt <= flushedBefore);
      // The flushed one is among them even if nothing was to be done for it: zeros over zeros.
      const possible = versions
        .slice(Math.max(0, safe))
        .filter((version) => version === versions[safe] || version.begunAt < position);
      const isOne = possible.some((version) => equal(found, this.#sectorOf(version, sector)));
      const isBase = safe < 0 && equal(found, this.#baseOf(sector));
      if (isOne || isBase) continue;
      const [word] = new Uint32Array(found.slice(0, 4).buffer);
      const numbers = possible.map(({ number }) => number).join(', ');
      return `sector ${sector} begins with ${word}, and may be ${numbers}${safe < 0 ? ', base' : ''}`;
    }
    return undefined;
  }

  #sectorOf(version: Version, sector: number): Uint8Array {
    return this.bytesOf({ ...version, first: sector, count: 1 });
  }

  #baseOf(sector: number): Uint8Array {
    return this.#base.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
  }
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

import { layout, RestoreError, throwIfAborted } from '../../../core/index.ts';
import { bytesAt } from '../bytes-at.ts';
import type { Volume } from '../driver.ts';
import { type Chain, Trail } from './chain.ts';

/** How an entry of each kind of table is coded ("FAT Type Determination"; exFAT 4.1). */
const KINDS = {
  FAT12: { bits: 12, mask: 0xfff, bad: 0xff7 },
  FAT16: { bits: 16, mask: 0xffff, bad: 0xfff7 },
  FAT32: { bits: 32, mask: 0x0fff_ffff, bad: 0x0fff_fff7 },
  exFAT: { bits: 32, mask: 0xffff_ffff, bad: 0xffff_fff7 },
} as const;

export interface TablePlace {
  readonly kind: keyof typeof KINDS;
  /** As errors call it. */
  readonly name: string;
  /** Byte offset of its first entry. */
  readonly at: number;
  /** Clusters that it tells of, those numbered 0 and 1 not among them. */
  readonly clusterCount: number;
}

/** As much of the table as is looked at in one go. */
interface Window {
  readonly view: DataView;
  /** Bytes of the table before it. */
  readonly start: number;
}

const WINDOW_BYTES = 64 * 1024;
const FREE = 0;

/** One copy of a volume's table of cluster chains. */
export class FatTable {
  readonly place: TablePlace;
  readonly #volume: Volume;
  readonly #coding: (typeof KINDS)[keyof typeof KINDS];

  constructor(volume: Volume, place: TablePlace) {
    this.#volume = volume;
    this.place = place;
    this.#coding = KINDS[place.kind];
  }

  /** The value of an entry. @throws RestoreError `CORRUPT` outside the volume. */
  async entry(index: number, signal?: AbortSignal): Promise<number> {
    return this.#valueIn(await this.#window(index, signal), index);
  }

  /** How many clusters are marked as free. Reads the table whole. */
  async countFree(): Promise<number> {
    let count = 0;
    const end = this.place.clusterCount + 2;
    for (let index = 2; index < end; ) {
      const window = await this.#window(index);
      const stop = Math.min(end, this.#endOf(window));
      for (; index < stop; index += 1) if (this.#valueIn(window, index) === FREE) count += 1;
    }
    return count;
  }

  /**
   * Follows a chain for at most `limit` clusters. Damage on the way is told in the result; the part
   * before it holds. A cluster that the table calls free or bad is no part of it.
   */
  async follow(first: number, limit: number, signal?: AbortSignal): Promise<Chain> {
    const trail = new Trail(this.place.clusterCount, this.#volume.budget);
    try {
      let cluster = first;
      while (this.#isCluster(cluster)) {
        const next = this.#walk(await this.#window(cluster, signal), trail, cluster, limit);
        if (typeof next !== 'number') return next;
        cluster = next;
      }
      return broken(trail, this.#fault('a chain leads to a cluster that is not there', cluster));
    } finally {
      trail.release();
    }
  }

  /** Follows a chain inside one window: to its end, or to a cluster that the window lacks. */
  #walk(window: Window, trail: Trail, from: number, limit: number): Chain | number {
    const { bad, mask } = this.#coding;
    const low = Math.max(2, this.#firstOf(window));
    const end = Math.min(this.#endOf(window), this.place.clusterCount + 2);
    for (let cluster = from; cluster >= low && cluster < end; ) {
      if (trail.length >= limit) {
        return { runs: trail.runs, clusterCount: trail.length, isWhole: false };
      }
      const value = this.#valueIn(window, cluster);
      if (value === FREE)
        return broken(trail, this.#fault('a chain leads to a free cluster', cluster));
      if (value === bad)
        return broken(trail, this.#fault('a chain leads to a bad cluster', cluster));
      if (!trail.add(cluster))
        return broken(trail, this.#fault('a chain runs in a circle', cluster));
      if (value > bad && value <= mask) {
        return { runs: trail.runs, clusterCount: trail.length, isWhole: true };
      }
      cluster = value;
      if (cluster < low || cluster >= end) return cluster;
    }
    return from;
  }

  #isCluster(cluster: number): boolean {
    return cluster >= 2 && cluster < this.place.clusterCount + 2;
  }

  async #window(index: number, signal?: AbortSignal): Promise<Window> {
    throwIfAborted(signal);
    const { metadata, budget } = this.#volume;
    budget.checkTime();
    const { at, clusterCount, name } = this.place;
    const { bits } = this.#coding;
    const tableEnd = at + Math.ceil(((clusterCount + 2) * bits) / 8);
    const entryAt = at + Math.floor((index * bits) / 8);
    // Windows are lines of the cache, so that most are a view of what is there. FAT12's entries lie
    // across bytes, and lines; its table is small.
    const lineAt = bits === 12 ? at : Math.max(at, entryAt - (entryAt % WINDOW_BYTES));
    const end = Math.min(tableEnd, bits === 12 ? tableEnd : nextLine(lineAt));
    if (end > metadata.size) {
      throw new RestoreError('CORRUPT', 'the volume ends before its FAT does', {
        where: { structure: name, offset: entryAt, expected: end, found: metadata.size },
      });
    }
    return {
      view: layout.viewOf(await bytesAt(metadata, lineAt, end - lineAt, signal)),
      start: lineAt - at,
    };
  }

  #firstOf(window: Window): number {
    return (window.start * 8) / this.#coding.bits;
  }

  /** The index behind the window's last whole entry. */
  #endOf({ view, start }: Window): number {
    return Math.floor(((start + view.byteLength) * 8) / this.#coding.bits);
  }

  #valueIn({ view, start }: Window, index: number): number {
    const { bits, mask } = this.#coding;
    if (bits === 32) return (view.getUint32(index * 4 - start, true) & mask) >>> 0;
    if (bits === 16) return view.getUint16(index * 2 - start, true);
    const position = Math.floor((index * 3) / 2);
    const pair = view.getUint8(position) | (view.getUint8(position + 1) << 8);
    return index % 2 === 0 ? pair & mask : pair >> 4;
  }

  #fault(message: string, found: number): RestoreError {
    const { name, at, clusterCount } = this.place;
    return new RestoreError('CORRUPT', message, {
      where: {
        structure: name,
        offset: at,
        expected: `a cluster in use, from 2 to ${clusterCount + 1}`,
        found: `cluster ${found}`,
      },
    });
  }
}

function nextLine(at: number): number {
  return at - (at % WINDOW_BYTES) + WINDOW_BYTES;
}

function broken(trail: Trail, damage: RestoreError): Chain {
  return { runs: trail.runs, clusterCount: trail.length, isWhole: false, damage };
}

import { LRUCache } from 'lru-cache';
import { readBytes, throwIfAborted } from '../../core/index.ts';
import { needInside } from './checks.ts';
import type { ImageFile } from './image.ts';

/** A compressed cluster's place in its file. */
export interface PackedCluster {
  /** Where it starts in the file. */
  readonly at: number;
  readonly packedBytes: number;
  /** Its offset on the disk: checked by decoders that can, and its name in the cache. */
  readonly diskOffset: number;
}

/**
 * Unpacks a cluster.
 *
 * @throws RestoreError `CORRUPT` unless the bytes unpack to exactly one cluster.
 */
export type Decode = (
  packed: Uint8Array,
  cluster: PackedCluster,
) => Uint8Array | Promise<Uint8Array>;

/**
 * Reads and decodes compressed clusters; keeps the recent ones, so that small reads of one cluster
 * decode it once; concurrent asks decode once.
 */
export class Unpacker {
  readonly #file: ImageFile;
  readonly #decode: Decode;
  readonly #plain: LRUCache<number, Uint8Array>;
  readonly #pending = new Map<number, Promise<Uint8Array>>();

  /** `budgetBytes`: decoded bytes kept at the most. */
  constructor(file: ImageFile, budgetBytes: number, decode: Decode) {
    this.#plain = new LRUCache({
      maxSize: budgetBytes,
      sizeCalculation: (cluster) => cluster.byteLength,
    });
    this.#file = file;
    this.#decode = decode;
  }

  /** The plain bytes of a cluster; a view that must not be written to. */
  unpack(cluster: PackedCluster, signal?: AbortSignal): Uint8Array | Promise<Uint8Array> {
    throwIfAborted(signal);
    const held = this.#plain.get(cluster.diskOffset) ?? this.#pending.get(cluster.diskOffset);
    if (held !== undefined) return held;
    // Not under any one caller's signal: others may be waiting for the same cluster.
    const decoding = this.#load(cluster).finally(() => this.#pending.delete(cluster.diskOffset));
    this.#pending.set(cluster.diskOffset, decoding);
    return decoding;
  }

  async #load(cluster: PackedCluster): Promise<Uint8Array> {
    needInside(this.#file, 'compressed cluster', cluster.at, cluster.packedBytes);
    const packed = await readBytes(this.#file.source, cluster.at, cluster.packedBytes);
    const plain = await this.#decode(packed, cluster);
    this.#plain.set(cluster.diskOffset, plain);
    return plain;
  }
}

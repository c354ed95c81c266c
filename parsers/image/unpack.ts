import { LRUCache } from 'lru-cache';
import { readBytes, throwIfAborted } from '../../core/index.ts';
import { needInside } from './checks.ts';
import type { ImageFile } from './image.ts';

/** A compressed cluster's place in its file. */
export interface PackedCluster {
  /** Where it starts; also its name in the cache. */
  readonly at: number;
  readonly packedBytes: number;
  /** Offset on the disk, for decoders that check it. */
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

/** Decoded bytes kept for each file: small reads of one cluster decode it once. */
const BUDGET_BYTES = 8 * 1024 * 1024;

/** Reads and decodes compressed clusters; keeps the recent ones; concurrent asks decode once. */
export class Unpacker {
  readonly #file: ImageFile;
  readonly #decode: Decode;
  readonly #plain = new LRUCache<number, Uint8Array>({
    maxSize: BUDGET_BYTES,
    sizeCalculation: (cluster) => cluster.byteLength,
  });
  readonly #pending = new Map<number, Promise<Uint8Array>>();

  constructor(file: ImageFile, decode: Decode) {
    this.#file = file;
    this.#decode = decode;
  }

  /** The plain bytes of a cluster; a view that must not be written to. */
  unpack(cluster: PackedCluster, signal?: AbortSignal): Uint8Array | Promise<Uint8Array> {
    throwIfAborted(signal);
    const held = this.#plain.get(cluster.at) ?? this.#pending.get(cluster.at);
    if (held !== undefined) return held;
    // Not under any one caller's signal: others may be waiting for the same cluster.
    const decoding = this.#load(cluster).finally(() => this.#pending.delete(cluster.at));
    this.#pending.set(cluster.at, decoding);
    return decoding;
  }

  async #load(cluster: PackedCluster): Promise<Uint8Array> {
    needInside(this.#file, 'compressed cluster', cluster.at, cluster.packedBytes);
    const packed = await readBytes(this.#file.source, cluster.at, cluster.packedBytes);
    const plain = await this.#decode(packed, cluster);
    this.#plain.set(cluster.at, plain);
    return plain;
  }
}

import { layout } from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import {
  ATTRIBUTE_COMPRESSED,
  ATTRIBUTE_ENCRYPTED,
  ATTRIBUTE_SPARSE,
  AttributeHeader,
} from './layout.ts';
import { decodeRuns, type Run } from './run-list.ts';
import { utf16At } from './utf16.ts';

const NON_RESIDENT_BYTES = 0x40;
const NON_RESIDENT_BYTES_COMPRESSED = 0x48;

/** One attribute in a file record, or one of the records that a long attribute is spread over. */
export class Attribute {
  readonly type: number;
  readonly isResident: boolean;
  /** Of the record. */
  readonly view: DataView;
  readonly #at: number;
  readonly #length: number;
  readonly #recordNumber: number;

  constructor(view: DataView, at: number, length: number, recordNumber: number) {
    this.view = view;
    this.#at = at;
    this.#length = length;
    this.#recordNumber = recordNumber;
    this.type = AttributeHeader.type(view, at);
    this.isResident = AttributeHeader.nonResident(view, at) === 0;
    if (!this.isResident && length < NON_RESIDENT_BYTES) {
      throw this.damaged(`at least ${NON_RESIDENT_BYTES} bytes`, length);
    }
  }

  get isNamed(): boolean {
    return AttributeHeader.nameLength(this.view, this.#at) !== 0;
  }
  get name(): string {
    const units = AttributeHeader.nameLength(this.view, this.#at);
    if (units === 0) return '';
    const offset = AttributeHeader.nameAt(this.view, this.#at);
    this.#checkInside(offset, units * 2);
    return utf16At(this.view, this.#at + offset, units);
  }
  get instance(): number {
    return AttributeHeader.instance(this.view, this.#at);
  }
  get isCompressed(): boolean {
    return (this.#flags & ATTRIBUTE_COMPRESSED) !== 0;
  }
  get isEncrypted(): boolean {
    return (this.#flags & ATTRIBUTE_ENCRYPTED) !== 0;
  }

  /** Bytes of content. Of a spread attribute, the first record says it. */
  get size(): number {
    return this.isResident
      ? AttributeHeader.valueLength(this.view, this.#at)
      : AttributeHeader.dataBytes(this.view, this.#at);
  }
  /** Bytes on the volume, outside the record. */
  get allocated(): number {
    if (this.isResident) return 0;
    return this.#hasCompressedSize
      ? AttributeHeader.compressedBytes(this.view, this.#at)
      : AttributeHeader.allocatedBytes(this.view, this.#at);
  }
  /** Content behind this was never written and is zeros, whatever lies on the volume. */
  get initialized(): number {
    return AttributeHeader.initializedBytes(this.view, this.#at);
  }
  get lowestCluster(): number {
    return this.isResident ? 0 : AttributeHeader.lowestCluster(this.view, this.#at);
  }
  /** Clusters that are compressed together. */
  get unitClusters(): number {
    const exponent = AttributeHeader.compressionUnit(this.view, this.#at);
    if (exponent === 0 || exponent > 5) throw this.damaged('compression units of 2..32', exponent);
    return 2 ** exponent;
  }

  /** Where in `view` a resident attribute's content of `size` bytes begins. */
  get valueAt(): number {
    if (!this.isResident) throw this.damaged('a resident attribute', 'another');
    const offset = AttributeHeader.valueAt(this.view, this.#at);
    this.#checkInside(offset, this.size);
    return this.#at + offset;
  }

  /** A resident attribute's content: a view. */
  value(): Uint8Array {
    const { buffer, byteOffset } = this.view;
    return new Uint8Array(buffer, byteOffset + this.valueAt, this.size);
  }

  runs(clusterCount: number): Run[] {
    const start = AttributeHeader.runsAt(this.view, this.#at);
    const pairs = layout.viewOf(this.#bytes(start, this.#length - start));
    const runs = decodeRuns(pairs, this.lowestCluster, clusterCount);
    const last = runs.at(-1);
    const end = last === undefined ? this.lowestCluster : last.first + last.count;
    if (end !== this.#highestCluster + 1) {
      throw this.damaged(`runs up to cluster ${this.#highestCluster}`, `up to ${end - 1}`);
    }
    return runs;
  }

  damaged(expected: string, found: string | number): Error {
    return corrupt('an attribute is damaged', {
      structure: `attribute 0x${this.type.toString(16)} of file record ${this.#recordNumber}`,
      offset: this.#at,
      expected,
      found,
    });
  }

  get #flags(): number {
    return AttributeHeader.flags(this.view, this.#at);
  }
  get #hasCompressedSize(): boolean {
    return (
      (this.#flags & (ATTRIBUTE_COMPRESSED | ATTRIBUTE_SPARSE)) !== 0 &&
      this.lowestCluster === 0 &&
      AttributeHeader.runsAt(this.view, this.#at) >= NON_RESIDENT_BYTES_COMPRESSED
    );
  }

  /** Of no clusters it is -1, in 64 bits. */
  get #highestCluster(): number {
    const low = AttributeHeader.highestClusterLow(this.view, this.#at);
    const high = AttributeHeader.highestClusterHigh(this.view, this.#at);
    return high === 0xffff_ffff && low === 0xffff_ffff ? -1 : high * 2 ** 32 + low;
  }

  #bytes(offset: number, length: number): Uint8Array {
    this.#checkInside(offset, length);
    const { buffer, byteOffset } = this.view;
    return new Uint8Array(buffer, byteOffset + this.#at + offset, length);
  }

  #checkInside(offset: number, length: number): void {
    if (offset + length <= this.#length && length >= 0) return;
    throw this.damaged(`at most ${this.#length} bytes`, `${length} at ${offset}`);
  }
}

import { type BlockSource, layout, readBytes } from '../../../core/index.ts';
import { formatUuid } from '../../partition/guid.ts';

/** Btrfs and ReiserFS have their first superblock the farthest in, at 64 KiB. */
const HEAD_BYTES = 68 * 1024;

/** A volume as probes look at it: its head is read once, the rest in small pieces. */
export class Window {
  readonly size: number;
  readonly #source: BlockSource;
  readonly #head: Uint8Array;

  private constructor(source: BlockSource, head: Uint8Array) {
    this.size = source.size;
    this.#source = source;
    this.#head = head;
  }

  static async over(source: BlockSource): Promise<Window> {
    return new Window(source, await readBytes(source, 0, Math.min(HEAD_BYTES, source.size)));
  }

  /** The volume's first bytes, as many of 68 KiB as there are. */
  get head(): Uint8Array {
    return this.#head;
  }

  /** `undefined` when the range is not inside the volume. */
  async bytes(offset: number, length: number): Promise<Uint8Array | undefined> {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.size)
      return undefined;
    if (offset + length <= this.#head.byteLength)
      return this.#head.subarray(offset, offset + length);
    return await readBytes(this.#source, offset, length);
  }

  async view(offset: number, length: number): Promise<DataView | undefined> {
    const bytes = await this.bytes(offset, length);
    return bytes === undefined ? undefined : layout.viewOf(bytes);
  }
}

/** @param magic one character a byte. */
export function hasMagic(bytes: Uint8Array, at: number, magic: string): boolean {
  if (at < 0 || at + magic.length > bytes.byteLength) return false;
  for (let index = 0; index < magic.length; index += 1) {
    if (bytes[at + index] !== magic.charCodeAt(index)) return false;
  }
  return true;
}

/** Sixteen bytes as a UUID; empty when all are zero. */
export function uuidAt(bytes: Uint8Array, at: number): string {
  const raw = bytes.subarray(at, at + 16);
  return raw.length < 16 || raw.every((byte) => byte === 0) ? '' : formatUuid(raw);
}

/** A label of fixed length, cut at the first NUL. */
export function labelAt(
  bytes: Uint8Array,
  at: number,
  length: number,
  encoding: 'utf-8' | 'utf-16le' | 'utf-16be' = 'utf-8',
): string {
  const text = new TextDecoder(encoding).decode(bytes.subarray(at, at + length));
  const end = text.indexOf('\0');
  return (end < 0 ? text : text.slice(0, end)).trimEnd();
}

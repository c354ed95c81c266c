import {
  type ExtendedAttribute,
  type HealthLog,
  readBytes,
  type SparseSource,
} from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import { dosAttributesOf } from './describe.ts';
import type { FileLoader } from './file-loader.ts';
import { RECORD_NUMBER, TYPE } from './layout.ts';
import type { NtfsFile } from './ntfs-file.ts';
import { SecurityDescriptors } from './security.ts';
import { headOf, type Stream } from './stream.ts';
import { openSystemFile } from './volume-information.ts';

const SECURITY_STREAM = '$SDS';
const VALUE_BYTES_MAX = 65_536;

/** What ntfs-3g shows as extended attributes, by its names. */
export class XattrReader {
  readonly #loader: FileLoader;
  readonly #health: HealthLog;
  #descriptors: Promise<SecurityDescriptors> | undefined;

  constructor(loader: FileLoader, health: HealthLog) {
    this.#loader = loader;
    this.#health = health;
  }

  async read(file: NtfsFile, signal?: AbortSignal): Promise<ExtendedAttribute[]> {
    const found: ExtendedAttribute[] = [];
    const add = (name: string, value: Uint8Array | undefined): void => {
      if (value !== undefined) found.push({ name, value });
    };
    add('system.ntfs_acl', await this.#securityDescriptor(file, signal));
    add('system.ntfs_attrib', littleEndian(dosAttributesOf(file)));
    add('system.ntfs_ea', await this.#value(file.stream(TYPE.EA), signal));
    add('system.ntfs_reparse_data', await this.#value(file.stream(TYPE.REPARSE_POINT), signal));
    return found;
  }

  /** In `$Secure` by number; in an attribute of its own on volumes older than NTFS 3.0. */
  async #securityDescriptor(
    file: NtfsFile,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    if (file.securityId === 0) return this.#value(file.stream(TYPE.SECURITY_DESCRIPTOR), signal);
    this.#descriptors ??= this.#openDescriptors();
    const descriptors = await this.#descriptors.catch((error: unknown) => {
      this.#descriptors = undefined;
      throw error;
    });
    return descriptors.find(file.securityId, signal);
  }

  async #openDescriptors(): Promise<SecurityDescriptors> {
    const content = await openSystemFile(this.#loader, RECORD_NUMBER.SECURE, SECURITY_STREAM);
    if (content !== undefined) return new SecurityDescriptors(content, this.#health);
    throw corrupt('the volume has no security descriptors', { structure: '$Secure:$SDS' });
  }

  async #value(
    stream: Stream | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array | undefined> {
    if (stream === undefined) return undefined;
    const content: SparseSource = this.#loader.open(stream);
    if (content.size <= VALUE_BYTES_MAX) return readBytes(content, 0, content.size, signal);
    throw headOf(stream).damaged(`at most ${VALUE_BYTES_MAX} bytes`, content.size);
  }
}

function littleEndian(value: number): Uint8Array {
  return new Uint8Array([value, value >>> 8, value >>> 16, value >>> 24]);
}

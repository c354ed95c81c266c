import {
  type BlockSource,
  isRestoreError,
  readBytes,
  type RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import type { Attribute } from './attribute.ts';
import { ATTRIBUTE_LIST_BYTES_MAX, parseAttributeList } from './attribute-list.ts';
import type { Geometry } from './boot-sector.ts';
import { corrupt } from './damage.ts';
import { linuxMetadataOf, parseExtendedAttributes } from './extended-attributes.ts';
import type { FileRecord, FileReference } from './file-record.ts';
import { TYPE } from './layout.ts';
import type { Mft } from './mft.ts';
import { type FileExtras, type LostAttribute, NtfsFile } from './ntfs-file.ts';
import { parseReparsePoint } from './reparse.ts';
import { openStream, type Stream } from './stream.ts';

const REPARSE_BYTES_MAX = 16 * 1024 + 24;
const EA_BYTES_MAX = 65_536;

/** Reads files out of the MFT: the base record, and what the attribute list leads to. */
export class FileLoader {
  readonly mft: Mft;
  readonly #source: BlockSource;
  readonly #geometry: Geometry;

  /** @param source where attributes outside the records are read from. */
  constructor(mft: Mft, source: BlockSource, geometry: Geometry) {
    this.mft = mft;
    this.#source = source;
    this.#geometry = geometry;
  }

  /**
   * A file of which all is at hand, else `undefined`.
   *
   * @throws RestoreError `CORRUPT` when the reference is stale, or the record is damaged.
   */
  peek(reference: FileReference): NtfsFile | undefined {
    const record = this.mft.peek(reference.number);
    if (record === undefined) return undefined;
    checkReference(record, reference);
    const attributes = record.attributes();
    for (const { type, isResident } of attributes) {
      if (type === TYPE.ATTRIBUTE_LIST) return undefined;
      if (!isResident && (type === TYPE.REPARSE_POINT || type === TYPE.EA)) return undefined;
    }
    return new NtfsFile(record, attributes, [], extrasOf(attributes, residentValue));
  }

  /** @throws as `peek` does, and what the volume throws. */
  async load(reference: FileReference, signal?: AbortSignal): Promise<NtfsFile> {
    const record = await this.mft.read(reference.number, signal);
    const file = this.peek(reference);
    if (file !== undefined) return file;
    const { attributes, lost } = await this.#gather(record, signal);
    const values = new Map<Attribute, Uint8Array | RestoreError>();
    for (const attribute of attributes) {
      const most = attribute.type === TYPE.EA ? EA_BYTES_MAX : REPARSE_BYTES_MAX;
      if (attribute.type !== TYPE.EA && attribute.type !== TYPE.REPARSE_POINT) continue;
      values.set(attribute, await damageOr(() => this.#valueOf(attribute, most, signal)));
    }
    const extras = extrasOf(attributes, (attribute) => {
      const value = values.get(attribute);
      if (value instanceof Uint8Array) return value;
      throw value ?? attribute.damaged('a value', 'none');
    });
    return new NtfsFile(record, attributes, lost, extras);
  }

  /** The content of an attribute. */
  open(stream: Stream): SparseSource {
    return openStream(this.#source, this.#geometry, stream);
  }

  async #valueOf(attribute: Attribute, most: number, signal?: AbortSignal): Promise<Uint8Array> {
    const content = this.open({ parts: [attribute], lost: [] });
    if (content.size > most) throw attribute.damaged(`at most ${most} bytes`, content.size);
    return readBytes(content, 0, content.size, signal);
  }

  async #gather(
    record: FileRecord,
    signal: AbortSignal | undefined,
  ): Promise<{ attributes: Attribute[]; lost: LostAttribute[] }> {
    const own = record.attributes();
    const listAttribute = own.find(({ type }) => type === TYPE.ATTRIBUTE_LIST);
    if (listAttribute === undefined) return { attributes: own, lost: [] };
    const list = await this.#valueOf(listAttribute, ATTRIBUTE_LIST_BYTES_MAX, signal);
    const entries = parseAttributeList(list);
    await this.mft.prefetch(
      entries.map(({ recordNumber }) => recordNumber),
      signal,
    );
    const known = new Map<number, Attribute[] | RestoreError>([[record.number, own]]);
    const attributes: Attribute[] = [];
    const lost: LostAttribute[] = [];
    for (const entry of entries) {
      const { type, lowestCluster, recordNumber: number, sequence } = entry;
      if (type === TYPE.ATTRIBUTE_LIST) continue;
      let held = known.get(number);
      if (held === undefined) {
        held = await damageOr(() => this.#extension(record, { number, sequence }, signal));
        known.set(number, held);
      }
      const found = Array.isArray(held) ? held.find(isThe(entry)) : held;
      if (found === undefined) lost.push({ type, lowestCluster, error: missing(entry) });
      else if (isRestoreError(found)) lost.push({ type, lowestCluster, error: found });
      else attributes.push(found);
    }
    return { attributes, lost };
  }

  /** The attributes in a record that continues `base`. */
  async #extension(
    base: FileRecord,
    reference: FileReference,
    signal: AbortSignal | undefined,
  ): Promise<Attribute[]> {
    const record = await this.mft.read(reference.number, signal);
    const owner = record.base;
    const isOurs =
      record.isInUse &&
      record.sequence === reference.sequence &&
      owner?.number === base.number &&
      owner.sequence === base.sequence;
    if (isOurs) return record.attributes();
    throw corrupt('an attribute list leads to a record of another file', {
      structure: `file record ${reference.number}`,
      expected: `a part of file record ${base.number}`,
      found: owner === undefined ? 'none' : `of file record ${owner.number}`,
    });
  }
}

/** @throws RestoreError `CORRUPT` unless the record is the file that is meant. */
function checkReference(record: FileRecord, { sequence }: FileReference): void {
  const isMeant = sequence === 0 || record.sequence === sequence;
  if (record.isInUse && isMeant && record.base === undefined) return;
  throw corrupt('a reference to a file is stale', {
    structure: `file record ${record.number}`,
    expected: `a file in use, sequence ${sequence}`,
    found: `${record.isInUse ? 'in use' : 'not in use'}, sequence ${record.sequence}`,
  });
}

const residentValue = (attribute: Attribute): Uint8Array => attribute.value();

/** Damage here hides content or kind alone: the file is listed, with why it cannot be read. */
function extrasOf(
  attributes: readonly Attribute[],
  valueOf: (attribute: Attribute) => Uint8Array,
): FileExtras {
  let extras: FileExtras = NO_EXTRAS;
  for (const attribute of attributes) {
    if (attribute.type === TYPE.REPARSE_POINT) {
      try {
        extras = { ...extras, reparse: parseReparsePoint(valueOf(attribute)) };
      } catch (error) {
        if (!isRestoreError(error)) throw error;
        extras = { ...extras, reparseError: error };
      }
    } else if (attribute.type === TYPE.EA) {
      try {
        extras = { ...extras, linux: linuxMetadataOf(parseExtendedAttributes(valueOf(attribute))) };
      } catch (error) {
        if (!isRestoreError(error, 'CORRUPT')) throw error;
      }
    }
  }
  return extras;
}

const NO_EXTRAS: FileExtras = {};

function isThe(entry: {
  readonly type: number;
  readonly instance: number;
  readonly lowestCluster: number;
}): (attribute: Attribute) => boolean {
  return ({ type, instance, lowestCluster }) =>
    type === entry.type && instance === entry.instance && lowestCluster === entry.lowestCluster;
}

function missing(entry: { readonly type: number; readonly recordNumber: number }): RestoreError {
  return corrupt('an attribute is not where the attribute list has it', {
    structure: `file record ${entry.recordNumber}`,
    expected: `an attribute 0x${entry.type.toString(16)}`,
    found: 'none',
  });
}

/** Damage as a value; anything else is thrown on. */
async function damageOr<T>(action: () => Promise<T>): Promise<T | RestoreError> {
  try {
    return await action();
  } catch (error) {
    if (isRestoreError(error, 'CORRUPT')) return error;
    throw error;
  }
}

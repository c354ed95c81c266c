import type { RestoreError } from '../../../core/index.ts';
import type { Attribute } from './attribute.ts';
import { corrupt } from './damage.ts';
import type { FileRecord } from './file-record.ts';
import { nameOf, type NtfsName } from './file-name.ts';
import {
  Standard,
  STANDARD_BYTES_MIN,
  STANDARD_BYTES_WITH_SECURITY,
  STANDARD_CASE_SENSITIVE,
  TYPE,
} from './layout.ts';
import type { ReparsePoint } from './reparse.ts';
import type { LinuxMetadata } from './extended-attributes.ts';
import type { LostPart, Stream } from './stream.ts';

/** An attribute's record that the attribute list names and that cannot be read. */
export interface LostAttribute extends LostPart {
  readonly type: number;
}

/** What is read beside the record itself, where the file has it. */
export interface FileExtras {
  readonly reparse?: ReparsePoint;
  /** Why the reparse point that it has cannot be read. */
  readonly reparseError?: RestoreError;
  readonly linux?: LinuxMetadata;
}

/** A file or directory with all its attributes, wherever they lie. */
export class NtfsFile {
  readonly record: FileRecord;
  readonly attributes: readonly Attribute[];
  readonly lost: readonly LostAttribute[];
  readonly extras: FileExtras;
  readonly #standard: Attribute;

  constructor(
    record: FileRecord,
    attributes: readonly Attribute[],
    lost: readonly LostAttribute[],
    extras: FileExtras,
  ) {
    this.record = record;
    this.attributes = attributes;
    this.lost = lost;
    this.extras = extras;
    this.#standard = standardOf(record, attributes, lost);
  }

  /** `STANDARD_INFORMATION`. */
  get standard(): Attribute {
    return this.#standard;
  }

  get hasCaseSensitiveNames(): boolean {
    const { view, valueAt } = this.#standard;
    return (Standard.flags(view, valueAt) & STANDARD_CASE_SENSITIVE) !== 0;
  }

  /** Of its descriptor in `$Secure`; 0 when it has none there. */
  get securityId(): number {
    const { view, valueAt, size } = this.#standard;
    return size < STANDARD_BYTES_WITH_SECURITY ? 0 : Standard.securityId(view, valueAt);
  }

  /** All records of the attribute, `undefined` when there is none. */
  stream(type: number, name = ''): Stream | undefined {
    let parts: Attribute[] | undefined;
    for (const attribute of this.attributes) {
      if (attribute.type !== type || attribute.name !== name) continue;
      // Nearly always the only one.
      if (parts === undefined) parts = [attribute];
      else parts.push(attribute);
    }
    const lost =
      this.lost.length === 0 ? NONE_LOST : this.lost.filter((part) => part.type === type);
    if (parts === undefined) {
      if (lost[0] !== undefined) throw lost[0].error;
      return undefined;
    }
    if (parts.length > 1) parts.sort((one, other) => one.lowestCluster - other.lowestCluster);
    return { parts, lost };
  }

  /** The file's names in all directories, short ones too. */
  names(): NtfsName[] {
    const names: NtfsName[] = [];
    for (const attribute of this.attributes) {
      if (attribute.type === TYPE.FILE_NAME) names.push(nameOf(attribute));
    }
    return names;
  }
}

const NONE_LOST: readonly LostAttribute[] = [];

function standardOf(
  record: FileRecord,
  attributes: readonly Attribute[],
  lost: readonly LostAttribute[],
): Attribute {
  const found = attributes.find(({ type }) => type === TYPE.STANDARD_INFORMATION);
  if (found?.isResident === true && found.size >= STANDARD_BYTES_MIN) return found;
  const cause = lost.find(({ type }) => type === TYPE.STANDARD_INFORMATION)?.error;
  throw corrupt(
    'a file has no times and attributes',
    {
      structure: `$STANDARD_INFORMATION of file record ${record.number}`,
      expected: `at least ${STANDARD_BYTES_MIN} bytes`,
      found: found?.size ?? 'none',
    },
    cause,
  );
}

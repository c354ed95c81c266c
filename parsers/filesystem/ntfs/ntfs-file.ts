import type { RestoreError } from '../../../core/index.ts';
import type { Attribute } from './attribute.ts';
import { corrupt } from './damage.ts';
import type { FileRecord } from './file-record.ts';
import { nameOf, type NtfsName } from './file-name.ts';
import { Standard, STANDARD_BYTES_MIN, STANDARD_BYTES_WITH_SECURITY, TYPE } from './layout.ts';
import { layout } from '../../../core/index.ts';
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
  readonly #standard: DataView;

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
  get standard(): DataView {
    return this.#standard;
  }

  get hasCaseSensitiveNames(): boolean {
    return (Standard.flags(this.#standard) & 1) !== 0;
  }

  /** Of its descriptor in `$Secure`; 0 when it has none there. */
  get securityId(): number {
    if (this.#standard.byteLength < STANDARD_BYTES_WITH_SECURITY) return 0;
    return Standard.securityId(this.#standard);
  }

  /** All records of the attribute, `undefined` when there is none. */
  stream(type: number, name = ''): Stream | undefined {
    const parts = this.attributes.filter(
      (attribute) => attribute.type === type && attribute.name === name,
    );
    const lost = this.lost.filter((attribute) => attribute.type === type);
    if (parts.length === 0) {
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
      if (attribute.type === TYPE.FILE_NAME) names.push(nameOf(attribute.value()));
    }
    return names;
  }
}

function standardOf(
  record: FileRecord,
  attributes: readonly Attribute[],
  lost: readonly LostAttribute[],
): DataView {
  const found = attributes.find(({ type }) => type === TYPE.STANDARD_INFORMATION);
  const value = found?.value();
  if (value !== undefined && value.byteLength >= STANDARD_BYTES_MIN) return layout.viewOf(value);
  const cause = lost.find(({ type }) => type === TYPE.STANDARD_INFORMATION)?.error;
  throw corrupt(
    'a file has no times and attributes',
    {
      structure: `$STANDARD_INFORMATION of file record ${record.number}`,
      expected: `at least ${STANDARD_BYTES_MIN} bytes`,
      found: value?.byteLength ?? 'none',
    },
    cause,
  );
}

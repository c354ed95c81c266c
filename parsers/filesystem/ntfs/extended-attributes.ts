import { layout, RestoreError } from '../../../core/index.ts';

/** One attribute of an `$EA` stream, its name in capitals as Windows stores it. */
export interface NtfsExtendedAttribute {
  readonly name: string;
  readonly value: Uint8Array;
}

/** What WSL keeps of a Linux file in extended attributes; what it has not kept is missing. */
export interface LinuxMetadata {
  readonly uid?: number;
  readonly gid?: number;
  /** Kind and permission bits, as `st_mode` has them. */
  readonly mode?: number;
  readonly device?: { readonly major: number; readonly minor: number };
}

/** `FILE_FULL_EA_INFORMATION` ([MS-FSCC] 2.4.15). */
const Entry = {
  nextOffset: layout.u32le(0),
  nameLength: layout.u8(5),
  valueLength: layout.u16le(6),
} as const;
const NAME_AT = 8;
/** Windows and the format both stop at 64 KiB. */
const TOTAL_BYTES_MAX = 65_536;

/**
 * The attributes in the value of `$EA`. Views, not copies.
 *
 * @throws RestoreError `CORRUPT` when an entry does not fit.
 */
export function parseExtendedAttributes(stream: Uint8Array): readonly NtfsExtendedAttribute[] {
  if (stream.byteLength > TOTAL_BYTES_MAX) {
    throw damaged(0, `at most ${TOTAL_BYTES_MAX} bytes`, `${stream.byteLength}`);
  }
  const view = layout.viewOf(stream);
  const attributes: NtfsExtendedAttribute[] = [];
  // Each step goes ahead by eight bytes at least, so this ends.
  for (let at = 0; at < stream.byteLength; ) {
    const nameLength = Entry.nameLength(view, at);
    const valueAt = at + NAME_AT + nameLength + 1;
    const end = valueAt + Entry.valueLength(view, at);
    const nextOffset = Entry.nextOffset(view, at);
    const limit = nextOffset === 0 ? stream.byteLength : at + nextOffset;
    if (nameLength === 0 || end > limit || limit > stream.byteLength) {
      throw damaged(at, `an entry that ends by ${limit}`, `${end} of ${stream.byteLength}`);
    }
    const name = Buffer.from(stream.subarray(at + NAME_AT, valueAt - 1)).toString('latin1');
    attributes.push({ name, value: stream.subarray(valueAt, end) });
    if (nextOffset === 0) break;
    at = limit;
  }
  return attributes;
}

/**
 * What the attributes `$LXUID`, `$LXGID`, `$LXMOD` and `$LXDEV` say.
 *
 * @throws RestoreError `CORRUPT` when one is too short.
 */
export function linuxMetadataOf(attributes: readonly NtfsExtendedAttribute[]): LinuxMetadata {
  const found: { -readonly [Key in keyof LinuxMetadata]: LinuxMetadata[Key] } = {};
  for (const { name, value } of attributes) {
    const view = layout.viewOf(value);
    if (name === '$LXUID') found.uid = First.number(view);
    else if (name === '$LXGID') found.gid = First.number(view);
    else if (name === '$LXMOD') found.mode = First.number(view);
    else if (name === '$LXDEV') {
      found.device = { major: First.number(view), minor: First.second(view) };
    }
  }
  return found;
}

const First = { number: layout.u32le(0), second: layout.u32le(4) } as const;

function damaged(offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the extended attributes are damaged', {
    where: { structure: '$EA', offset, expected, found },
  });
}

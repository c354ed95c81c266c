import type { Attribute } from './attribute.ts';
import { corrupt } from './damage.ts';
import { recordNumber } from './file-record.ts';
import { FILE_NAME_AT, FileName } from './layout.ts';
import { utf16At } from './utf16.ts';

/** One name of a file in one directory. */
export interface NtfsName {
  readonly parent: number;
  readonly parentSequence: number;
  readonly name: string;
  /** One of `NAMESPACE`. */
  readonly namespace: number;
}

/** @throws RestoreError `CORRUPT` when it does not fit. */
export function nameOf(attribute: Attribute): NtfsName {
  const { view, valueAt: at } = attribute;
  return {
    name: nameText(view, at, attribute.size),
    parent: recordNumber(FileName.parentLow(view, at), FileName.parentHigh(view, at)),
    parentSequence: FileName.parentSequence(view, at),
    namespace: FileName.namespace(view, at),
  };
}

/** The name in a `FILE_NAME` of `length` bytes at `at`. */
export function nameText(view: DataView, at: number, length: number): string {
  const units = length < FILE_NAME_AT ? 0 : FileName.nameLength(view, at);
  if (units === 0 || FILE_NAME_AT + units * 2 > length) {
    throw corrupt('a file name is damaged', {
      structure: '$FILE_NAME',
      offset: at,
      expected: 'a name that fits',
      found: `${units} units in ${length} bytes`,
    });
  }
  return utf16At(view, at + FILE_NAME_AT, units);
}

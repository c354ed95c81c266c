import { layout } from '../../../core/index.ts';
import { utf16 } from './attribute.ts';
import { corrupt } from './damage.ts';
import { recordNumber } from './file-record.ts';
import { FILE_NAME_AT, FileName } from './layout.ts';

/** One name of a file in one directory. */
export interface NtfsName {
  readonly parent: number;
  readonly parentSequence: number;
  readonly name: string;
  /** One of `NAMESPACE`. */
  readonly namespace: number;
  /** As the directory has them: bits of `DOS_ATTRIBUTE`. */
  readonly fileAttributes: number;
}

/** @throws RestoreError `CORRUPT` when it does not fit. */
export function nameOf(value: Uint8Array): NtfsName {
  return readName(layout.viewOf(value), 0, value.byteLength);
}

/** A `FILE_NAME` of `length` bytes at `at`. */
export function readName(view: DataView, at: number, length: number): NtfsName {
  const units = length < FILE_NAME_AT ? 0 : FileName.nameLength(view, at);
  if (units === 0 || FILE_NAME_AT + units * 2 > length) {
    throw corrupt('a file name is damaged', {
      structure: '$FILE_NAME',
      offset: at,
      expected: 'a name that fits',
      found: `${units} units in ${length} bytes`,
    });
  }
  return {
    parent: recordNumber(FileName.parentLow(view, at), FileName.parentHigh(view, at)),
    parentSequence: FileName.parentSequence(view, at),
    name: text(view, at + FILE_NAME_AT, units),
    namespace: FileName.namespace(view, at),
    fileAttributes: FileName.fileAttributes(view, at),
  };
}

function text(view: DataView, at: number, units: number): string {
  return utf16(new Uint8Array(view.buffer, view.byteOffset + at, units * 2));
}

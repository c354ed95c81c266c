import { Attribute } from './attribute.ts';
import { corrupt } from './damage.ts';
import { AttributeHeader, Record, RECORD_IN_USE, RECORD_IS_DIRECTORY, TYPE } from './layout.ts';

/** Names a record and the use of it that is meant: numbers are used again, with a new sequence. */
export interface FileReference {
  readonly number: number;
  /** 0 when it is of no matter. */
  readonly sequence: number;
}

const ATTRIBUTE_BYTES_MIN = 0x18;
const RECORD_NUMBER_MAX = 0xffff_ffff;

/** A record of the MFT whose fixups are undone and found right. */
export class FileRecord {
  readonly number: number;
  readonly view: DataView;

  /** @param view of the record and nothing else. */
  constructor(number: number, view: DataView) {
    this.number = number;
    this.view = view;
  }

  get sequence(): number {
    return Record.sequence(this.view);
  }
  get isInUse(): boolean {
    return (Record.flags(this.view) & RECORD_IN_USE) !== 0;
  }
  get isDirectory(): boolean {
    return (Record.flags(this.view) & RECORD_IS_DIRECTORY) !== 0;
  }
  get links(): number {
    return Record.links(this.view);
  }

  /** The record that this one continues, `undefined` when it stands for itself. */
  get base(): FileReference | undefined {
    const low = Record.baseLow(this.view);
    const high = Record.baseHigh(this.view);
    const sequence = Record.baseSequence(this.view);
    if (low === 0 && high === 0 && sequence === 0) return undefined;
    return { number: recordNumber(low, high), sequence };
  }

  /** @throws RestoreError `CORRUPT` when an attribute does not fit. */
  attributes(): Attribute[] {
    const { view } = this;
    const end = Math.min(Record.bytesInUse(view), view.byteLength);
    const found: Attribute[] = [];
    // Each attribute takes 24 bytes at least, so this ends.
    for (let at = Record.attributesAt(view); ; ) {
      if (at % 4 !== 0 || at + 4 > end) throw this.#damaged(at, `attributes by ${end}`, 'none');
      if (AttributeHeader.type(view, at) === TYPE.END) return found;
      if (at + ATTRIBUTE_BYTES_MIN > end) throw this.#damaged(at, 'an attribute', 'its beginning');
      const length = AttributeHeader.length(view, at);
      if (length < ATTRIBUTE_BYTES_MIN || at + length > end) {
        throw this.#damaged(at, `at most ${end - at} bytes of an attribute`, `${length}`);
      }
      found.push(new Attribute(view, at, length, this.number));
      at += length;
    }
  }

  #damaged(offset: number, expected: string, found: string): Error {
    const structure = `file record ${this.number}`;
    return corrupt('a file record is damaged', { structure, offset, expected, found });
  }
}

/** @throws RestoreError `CORRUPT` when it is beyond what an MFT can hold. */
export function recordNumber(low: number, high: number): number {
  if (high === 0) return low;
  throw corrupt('a reference to a file record is damaged', {
    structure: 'file reference',
    expected: `at most ${RECORD_NUMBER_MAX}`,
    found: high * 2 ** 32 + low,
  });
}

import { tableLines } from './table-text.ts';

/** One line of `/etc/crypttab`: crypttab(5). */
export interface CrypttabEntry {
  readonly line: number;
  /** What it is called when open: `/dev/mapper/NAME`. */
  readonly name: string;
  readonly device: string;
}

export function parseCrypttab(text: string): CrypttabEntry[] {
  return tableLines(text).flatMap(({ line, fields }) => {
    const [name = '', device] = fields;
    return device === undefined ? [] : [{ line, name, device }];
  });
}

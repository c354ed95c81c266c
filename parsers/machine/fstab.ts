import { tableLines, unescapeOctal, withoutSlashesAtEnd } from './table-text.ts';

/** One line of `/etc/fstab`: fstab(5). */
export interface FstabEntry {
  readonly line: number;
  /** What is mounted: a device, `UUID=…`, a network place, … */
  readonly device: string;
  /** Absolute, without a slash at its end; `none` and `swap` for what has no place. */
  readonly at: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** Lines without a place are left out; a line may break off after it. */
export function parseFstab(text: string): FstabEntry[] {
  return tableLines(text).flatMap(({ line, fields }) => {
    const [device = '', at, type = 'auto', options = 'defaults'] = fields;
    if (at === undefined) return [];
    const place = unescapeOctal(at);
    return [
      {
        line,
        device: unquoted(unescapeOctal(device)),
        at: withoutSlashesAtEnd(place) || place.slice(0, 1),
        type,
        options: options.split(','),
      },
    ];
  });
}

/** libmount takes the value of a tag in quotes too: `LABEL="data"`. */
function unquoted(device: string): string {
  return device.replace(/^([A-Z]+=)(["'])(.*)\2$/s, '$1$3');
}

/** Lines of a table in `/etc`: fields between blanks, with `#` for comments. Bounded. */
export interface TableLine {
  /** From 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

const TEXT_MAX = 1024 * 1024;
const LINES_MAX = 10_000;

/** @param text what is behind the first MiB or 10,000 lines is left out. */
export function tableLines(text: string): TableLine[] {
  const lines = text.slice(0, TEXT_MAX).split('\n', LINES_MAX);
  return lines
    .map((content, index) => ({ line: index + 1, fields: content.trim().split(/[ \t]+/) }))
    .filter(({ fields: [first = ''] }) => first !== '' && !first.startsWith('#'));
}

/** `\040` and its like, three octal digits a byte, as fstab(5) writes blanks in names. */
export function unescapeOctal(text: string): string {
  const runs = /(?:\\[0-3][0-7]{2})+/g;
  return text.replaceAll(runs, (run) =>
    Buffer.from(
      run
        .split('\\')
        .slice(1)
        .map((digits) => Number.parseInt(digits, 8)),
    ).toString('utf8'),
  );
}

/** By hand: an expression tries every slash of a long run as the first of the last ones. */
export function withoutSlashesAtEnd(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}

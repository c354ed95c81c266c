/** Numbers and tables for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `1536` as `1.50 KiB`. */
export function formatBytes(bytes: number): string {
  let value = Math.round(bytes);
  let unit = 0;
  // Not 1024: what would be shown as `1024.0` belongs to the next unit.
  while (value >= (unit === 0 ? 1024 : 1023.95) && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

/** `75000` as `1m15s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${String(seconds % 60).padStart(2, '0')}s`;
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}m`;
}

/** `3` and `2` as `1.50:1`; `-` where there is nothing to compare. */
export function formatRatio(of: number, to: number): string {
  return to === 0 || of === 0 ? '-' : `${(of / to).toFixed(2)}:1`;
}

/** Rows as columns, the widest cell deciding; numbers may be right-aligned by name. */
export function formatTable(rows: readonly Readonly<Record<string, string>>[]): string {
  const [first] = rows;
  if (first === undefined) return '';
  const columns = Object.keys(first);
  const widths = columns.map((column) =>
    Math.max(column.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] as number))
      .join('  ')
      .trimEnd();
  const body = rows.map((row) => line(columns.map((column) => row[column] ?? '')));
  return `${[line(columns.map((column) => column.toUpperCase())), ...body].join('\n')}\n`;
}

/** The memory that text was read from last: most names come from the same few buffers. */
let held: Buffer = Buffer.alloc(0);
/** Longer text is no name. */
const SHORT_UNITS_MAX = 255;
const letters = Buffer.alloc(SHORT_UNITS_MAX);

/**
 * Text of `units` 16-bit units at `at`. Names are such units, UTF-16 or not: a lone surrogate stays
 * what it is.
 */
export function utf16At(view: DataView, at: number, units: number): string {
  if (held.buffer !== view.buffer) held = Buffer.from(view.buffer);
  const start = view.byteOffset + at;
  return asciiText(start, units) ?? held.toString('utf16le', start, start + units * 2);
}

/** Most names are ASCII: read as such, they take half the memory. */
function asciiText(start: number, units: number): string | undefined {
  if (units > SHORT_UNITS_MAX) return undefined;
  for (let index = 0; index < units; index += 1) {
    const low = held[start + index * 2] as number;
    if (low >= 0x80 || held[start + index * 2 + 1] !== 0) return undefined;
    letters[index] = low;
  }
  return letters.toString('latin1', 0, units);
}

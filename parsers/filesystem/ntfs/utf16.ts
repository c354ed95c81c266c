/** The memory that text was read from last: most names come from the same few buffers. */
let held: Buffer = Buffer.alloc(0);

/**
 * Text of `units` 16-bit units at `at`. Names are such units, UTF-16 or not: a lone surrogate stays
 * what it is.
 */
export function utf16At(view: DataView, at: number, units: number): string {
  if (held.buffer !== view.buffer) held = Buffer.from(view.buffer);
  const start = view.byteOffset + at;
  return held.toString('utf16le', start, start + units * 2);
}

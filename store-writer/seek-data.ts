/**
 * `lseek(2)` with SEEK_DATA and SEEK_HOLE, which Node has no call for. Without the native library
 * (another platform) there are no holes to be seen, and files are read whole.
 */
import { createRequire } from 'node:module';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

type Lseek = (descriptor: number, offset: number, whence: number) => number | bigint;

let lseek: Lseek | undefined | null;

/** The next range of data at or after `offset`; `undefined` when only a hole is left. */
export function nextData(
  descriptor: number,
  offset: number,
  size: number,
): { start: number; end: number } | undefined {
  lseek ??= load();
  if (lseek === null) return { start: offset, end: size };
  const start = Number(lseek(descriptor, offset, SEEK_DATA));
  // ENXIO: no data up to the end. Also where the file system knows no holes, asked at its end.
  if (start < 0 || start >= size)
    return start < 0 && !knowsHoles(descriptor) ? { start: offset, end: size } : undefined;
  const end = Number(lseek(descriptor, start, SEEK_HOLE));
  return { start, end: end <= start ? size : Math.min(end, size) };
}

/** Every file has a hole at its end, where the file system knows of holes at all. */
function knowsHoles(descriptor: number): boolean {
  return lseek !== null && lseek !== undefined && Number(lseek(descriptor, 0, SEEK_HOLE)) >= 0;
}

function load(): Lseek | null {
  if (process.platform !== 'linux') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    return koffi.load('libc.so.6').func('int64_t lseek(int, int64_t, int)') as Lseek;
  } catch {
    return null;
  }
}

import { addOnsAllowed } from '../core/index.ts';

/**
 * `lseek(2)` with SEEK_DATA and SEEK_HOLE, which Node has no call for. Without the native library
 * (another platform) there are no holes to be seen, and files are read whole.
 */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;

interface Library {
  readonly lseek: (descriptor: number, offset: number, whence: number) => number | bigint;
  readonly errno: () => number;
}

const library = await load();

/**
 * The next range of data at or after `offset`; `undefined` when only a hole is left. Whatever the
 * system cannot tell counts as data: reading it brings the truth.
 */
export function nextData(
  descriptor: number,
  offset: number,
  size: number,
): { start: number; end: number } | undefined {
  if (library === undefined) return { start: offset, end: size };
  const start = Number(library.lseek(descriptor, offset, SEEK_DATA));
  if (start < 0) return library.errno() === ENXIO ? undefined : { start: offset, end: size };
  if (start >= size) return undefined;
  const end = Number(library.lseek(descriptor, start, SEEK_HOLE));
  return { start, end: end <= start ? size : Math.min(end, size) };
}

async function load(): Promise<Library | undefined> {
  if (process.platform !== 'linux' || !addOnsAllowed()) return undefined;
  try {
    const { default: koffi } = await import('koffi');
    const lseek = koffi.load('libc.so.6').func('int64_t lseek(int, int64_t, int)');
    return { lseek: (...args): number | bigint => lseek(...args) as number, errno: koffi.errno };
  } catch {
    // No prebuilt library for this platform.
    return undefined;
  }
}

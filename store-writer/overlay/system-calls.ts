/**
 * Two system calls that Node has no call for. Without the native library (another platform) reads go
 * through the thread pool, and discarded pages keep their space: slower, and no less right.
 */
interface Library {
  readonly fallocate: (
    descriptor: number,
    mode: number,
    offset: number,
    length: number,
  ) => Promise<number>;
  readonly preadv2: (descriptor: number, target: Uint8Array, offset: number) => number;
}

/** fallocate(2). */
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
/** preadv2(2): fail rather than wait for storage. */
const RWF_NOWAIT = 8;

const library = await load();

/** Reads what the page cache holds, without ever waiting; `false` unless it was all there. */
export function readFromPageCache(descriptor: number, target: Uint8Array, offset: number): boolean {
  return library?.preadv2(descriptor, target, offset) === target.byteLength;
}

/** Makes a hole. `false` where the file system knows none. */
export async function fallocatePunch(
  descriptor: number,
  offset: number,
  length: number,
): Promise<boolean> {
  if (library === undefined) return false;
  const mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
  return (await library.fallocate(descriptor, mode, offset, length)) === 0;
}

async function load(): Promise<Library | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const { default: koffi } = await import('koffi');
    const c = koffi.load('libc.so.6');
    const vector = koffi.struct({ base: 'void *', length: 'size_t' });
    const preadv2 = c.func('preadv2', 'int64_t', [
      'int',
      koffi.pointer(vector),
      'int',
      'int64_t',
      'int',
    ]);
    const fallocate = c.func('int fallocate(int, int, int64_t, int64_t)');
    return {
      preadv2: (descriptor, target, offset) => {
        const vectors = [{ base: target, length: target.byteLength }];
        return Number(preadv2(descriptor, vectors, 1, offset, RWF_NOWAIT));
      },
      fallocate: (...args) =>
        new Promise((resolve) => {
          fallocate.async(...args, (error: unknown, result: number) => {
            resolve(error === null || error === undefined ? result : -1);
          });
        }),
    };
  } catch {
    // No prebuilt library for this platform.
    return undefined;
  }
}

/**
 * Calls of the C library that Node has none for: times to the nanosecond, extended attributes, device
 * nodes, one sync for a whole file system. Without the native library (another platform) they are
 * `undefined`, and what needs them says so.
 */
import type { Timestamp } from '../../core/index.ts';

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_OMIT = (1n << 30n) - 2n;

export interface CLibrary {
  /** The system's error number of the last call that failed. */
  readonly errno: () => number;
  /** @param follow whether a link is followed, or is what is meant. @returns 0, or -1. */
  readonly setTimes: (
    path: Uint8Array,
    accessed: Timestamp | undefined,
    modified: Timestamp,
    follow: boolean,
  ) => number;
  /** @param follow whether a link is followed, or is what is meant. @returns 0, or -1. */
  readonly setXattr: (
    path: Uint8Array,
    name: Uint8Array,
    value: Uint8Array,
    follow: boolean,
  ) => number;
  /** @returns 0, or -1. */
  readonly makeNode: (path: Uint8Array, mode: number, major: number, minor: number) => number;
  /** Writes out the file system that an open file lies on. @returns 0, or -1. */
  readonly syncFileSystem: (descriptor: number) => number;
}

export async function loadCLibrary(): Promise<CLibrary | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const { default: koffi } = await import('koffi');
    const library = koffi.load('libc.so.6');
    const utimensat = library.func('int utimensat(int, uint8_t *, int64_t *, int)');
    const setxattr = library.func('int setxattr(uint8_t *, uint8_t *, uint8_t *, size_t, int)');
    const lsetxattr = library.func('int lsetxattr(uint8_t *, uint8_t *, uint8_t *, size_t, int)');
    const mknodat = library.func('int mknodat(int, uint8_t *, uint32_t, uint64_t)');
    const syncfs = library.func('int syncfs(int)');
    return {
      errno: koffi.errno,
      setTimes: (path, accessed, modified, follow): number => {
        const times = BigInt64Array.from([...timespec(accessed), ...timespec(modified)]);
        const flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
        return utimensat(AT_FDCWD, cText(path), times, flags) as number;
      },
      setXattr: (path, name, value, follow): number => {
        const set = follow ? setxattr : lsetxattr;
        return set(cText(path), cText(name), value, value.byteLength, 0) as number;
      },
      makeNode: (path, mode, major, minor): number =>
        mknodat(AT_FDCWD, cText(path), mode, deviceNumber(major, minor)) as number,
      syncFileSystem: (descriptor): number => syncfs(descriptor) as number,
    };
  } catch {
    // No prebuilt library for this platform.
    return undefined;
  }
}

/** utimensat(2): a pair of seconds and nanoseconds, or a mark that leaves the time alone. */
function timespec(time: Timestamp | undefined): [bigint, bigint] {
  return time === undefined ? [0n, UTIME_OMIT] : [BigInt(time.seconds), BigInt(time.nanoseconds)];
}

function cText(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.of(0)]);
}

/** makedev(3) of glibc. */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (
    ((high & 0xfff_ff000n) << 32n) |
    ((high & 0xfffn) << 8n) |
    ((low & 0xffff_ff00n) << 12n) |
    (low & 0xffn)
  );
}

import { type BlockSource, layout, readBytes } from '../../../core/index.ts';
import { undoFixups } from './fixups.ts';

/** What `$LogFile` tells about how the volume was left. */
export interface LogState {
  /**
   * `clean`: nothing waits to be done again. `dirty`: the last changes to files and directories may be
   * in the log alone, or half done. `unknown`: neither restart page can be read.
   */
  readonly state: 'clean' | 'dirty' | 'unknown';
  /** Of the log's layout, such as `1.1`, or `2.0` since Windows 8. */
  readonly version?: string;
  /** Why, in words. */
  readonly reason: string;
}

/**
 * Restart pages are at 0 and one system page on; that page's size is told inside, so every size that
 * it can have is tried.
 */
const PAGE_OFFSETS = [0, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] as const;
const PAGE_BYTES_MAX = 65_536;
const HEAD_BYTES = 2 * PAGE_BYTES_MAX;
const SECTOR_BYTES = 512;

/** `RESTART_PAGE_HEADER`, as the Linux kernel's `fs/ntfs3/fslog.c` and ntfs-3g have it. */
const Page = {
  magic: layout.u32le(0),
  systemPageBytes: layout.u32le(16),
  areaAt: layout.u16le(24),
  minorVersion: layout.u16le(26),
  majorVersion: layout.u16le(28),
} as const;
const MAGIC_RESTART = 0x5254_5352;
/** `chkdsk` has been there: the same page, marked. */
const MAGIC_CHECKED = 0x444b_4843;
const HEADER_BYTES = 30;

/** `RESTART_AREA`, from its own start. */
const Area = {
  currentLsn: layout.bits64le(0),
  clientsInUse: layout.u16le(12),
  flags: layout.u16le(14),
} as const;
const AREA_BYTES = 48;
const NO_CLIENT = 0xffff;
const FLAG_VOLUME_IS_CLEAN = 0x0002;

/**
 * Whether the journal holds changes that wait for a replay, judged as ntfs-3g does before it mounts:
 * the newer restart page decides; a log of 0xff alone has been reset, which is done to a sound volume
 * only.
 *
 * @param log the content of `$LogFile`.
 */
export async function readLogState(log: BlockSource, signal?: AbortSignal): Promise<LogState> {
  const head = await readBytes(log, 0, Math.min(log.size, HEAD_BYTES), signal);
  if (head.byteLength > 0 && head.every((byte) => byte === 0xff)) {
    return { state: 'clean', reason: 'the log has been reset' };
  }
  const pages = PAGE_OFFSETS.map((offset) => restartPage(head, offset)).filter(isPresent);
  const [newest] = pages.toSorted((one, other) => compare(other.currentLsn, one.currentLsn));
  if (newest === undefined) {
    return { state: 'unknown', reason: 'no restart page of the log can be read' };
  }
  const { version } = newest;
  if (newest.isInUse && !newest.isMarkedClean) {
    return { state: 'dirty', version, reason: 'the volume was in use; its log was not replayed' };
  }
  return { state: 'clean', version, reason: 'the volume was dismounted' };
}

interface RestartPage {
  readonly currentLsn: bigint;
  readonly version: string;
  readonly isInUse: boolean;
  readonly isMarkedClean: boolean;
}

/** The restart page at `offset` of the log's head; `undefined` when there is none that holds. */
function restartPage(head: Uint8Array, offset: number): RestartPage | undefined {
  if (offset + SECTOR_BYTES > head.byteLength) return undefined;
  const view = layout.viewOf(head);
  const magic = Page.magic(view, offset);
  if (magic !== MAGIC_RESTART && magic !== MAGIC_CHECKED) return undefined;
  const pageBytes = Page.systemPageBytes(view, offset);
  if (!isPageSize(pageBytes) || (offset !== 0 && offset !== pageBytes)) return undefined;
  if (offset + pageBytes > head.byteLength) return undefined;
  const page = layout.viewOf(head.slice(offset, offset + pageBytes));
  return undoFixups(page) === undefined ? readPage(page) : undefined;
}

function isPageSize(pageBytes: number): boolean {
  return pageBytes >= SECTOR_BYTES && pageBytes <= PAGE_BYTES_MAX && Math.log2(pageBytes) % 1 === 0;
}

function readPage(page: DataView): RestartPage | undefined {
  const areaAt = Page.areaAt(page);
  if (areaAt < HEADER_BYTES || areaAt % 8 !== 0 || areaAt + AREA_BYTES > page.byteLength) {
    return undefined;
  }
  return {
    currentLsn: Area.currentLsn(page, areaAt),
    version: `${Page.majorVersion(page)}.${Page.minorVersion(page)}`,
    isInUse: Area.clientsInUse(page, areaAt) !== NO_CLIENT,
    isMarkedClean: (Area.flags(page, areaAt) & FLAG_VOLUME_IS_CLEAN) !== 0,
  };
}

const isPresent = <T>(value: T | undefined): value is T => value !== undefined;

const compare = (one: bigint, other: bigint): number => (one < other ? -1 : one > other ? 1 : 0);

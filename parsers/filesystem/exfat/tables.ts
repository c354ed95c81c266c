import { isRestoreError, type SpaceUse } from '../../../core/index.ts';
import type { Volume } from '../driver.ts';
import type { Geometry } from './boot-region.ts';
import { checksum32 } from './checksum.ts';
import type { Clusters } from './clusters.ts';
import type { TableRecord } from './directory.ts';
import { Upcase } from './upcase.ts';

/** What is used where a volume's own table of capitals cannot be. */
export const LATIN = new Upcase(undefined);

const UPCASE_BYTES_MAX = 128 * 1024;

/** Section 7.2. A table that cannot be trusted would make names unfindable: it is not used. */
export async function upcaseOf(
  volume: Volume,
  clusters: Clusters,
  record: TableRecord | undefined,
): Promise<Upcase> {
  if (record !== undefined && record.dataLength <= UPCASE_BYTES_MAX) {
    const table = new Uint8Array(record.dataLength);
    let length = 0;
    const isRead = await eachPiece(clusters, record, (bytes) => {
      table.set(bytes, length);
      length += bytes.byteLength;
    });
    if (isRead && checksum32(table) === record.checksum) return new Upcase(table);
  }
  volume.health.note('partly damaged', {
    message:
      'the table of capital letters is damaged; names are found by the case of Latin letters',
    where: { structure: 'Up-case Table' },
  });
  return LATIN;
}

/** Section 7.1, "Allocation Bitmap": a bit for each cluster, the lowest first. */
export async function spaceOf(
  { clusterBytes, clusterCount, activeFat }: Geometry,
  clusters: Clusters,
  bitmaps: readonly TableRecord[],
): Promise<SpaceUse> {
  const totalBytes = clusterCount * clusterBytes;
  const byteCount = Math.ceil(clusterCount / 8);
  const record = bitmaps.find(({ number }) => number === activeFat);
  if (record === undefined || record.dataLength < byteCount) return { totalBytes };
  let used = 0;
  let left = clusterCount;
  const isRead = await eachPiece(clusters, { ...record, dataLength: byteCount }, (bytes) => {
    for (const byte of bytes) {
      const bits = left >= 8 ? byte : byte & ((1 << left) - 1);
      used += BITS_SET[bits] as number;
      left -= 8;
    }
  });
  return isRead ? { totalBytes, freeBytes: (clusterCount - used) * clusterBytes } : { totalBytes };
}

const BITS_SET = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let bits = byte; bits > 0; bits >>= 1) count += bits & 1;
  return count;
});

/** Hands over a table, which has a chain in the FAT; false when it cannot be read whole. */
async function eachPiece(
  clusters: Clusters,
  { firstCluster, dataLength }: TableRecord,
  take: (bytes: Uint8Array) => void,
): Promise<boolean> {
  try {
    const stretch = { firstCluster, size: dataLength, isContiguous: false };
    const { pieces, damage } = await clusters.piecesOf(stretch);
    if (damage !== undefined) return false;
    let left = dataLength;
    for await (const { bytes } of pieces) {
      take(bytes.subarray(0, left));
      left -= Math.min(left, bytes.byteLength);
    }
    return left === 0;
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT')) throw error;
    return false;
  }
}

/** UNMAP: ranges that read as zeros from now on. SBC-3 section 5.28. */
import {
  check,
  type CommandContext,
  GOOD,
  invalidField,
  type ScsiCommand,
  type ScsiOutcome,
  u64,
} from './command.ts';
import { MAX_UNMAP_DESCRIPTORS, maxUnmapBlocks } from './limits-of-unit.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { Medium } from './medium.ts';
import { isInside } from './range.ts';
import { SENSE } from './sense.ts';

const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;
const ANCHOR = 0x01;

interface Extent {
  readonly block: number;
  readonly count: number;
}

export const UNMAP: ScsiCommand = {
  name: 'UNMAP',
  opcode: 0x42,
  usage: '42 01 00000000 00 ffff 00',
  writesMedium: true,
  dataOutBytes: (cdb) => cdb.getUint16(7),
  run(context) {
    const { cdb, unit, dataOut } = context;
    if ((cdb.getUint8(1) & ANCHOR) !== 0) return invalidField(1, 0);
    if (cdb.getUint16(7) === 0) return GOOD;
    if (dataOut.length < HEADER_BYTES) return check(SENSE.parameterListLength);
    // All are checked before any is touched.
    const extents = readExtents(dataOut, unit);
    return 'kind' in extents ? extents : discardAll(context, extents);
  },
};

function readExtents(list: Uint8Array, unit: LogicalUnit): readonly Extent[] | ScsiOutcome {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
  const told = Math.floor(view.getUint16(2) / DESCRIPTOR_BYTES);
  const there = Math.floor((list.length - HEADER_BYTES) / DESCRIPTOR_BYTES);
  const count = Math.min(told, there);
  if (count > MAX_UNMAP_DESCRIPTORS) return check(SENSE.invalidFieldInParameters);
  const extents = Array.from({ length: count }, (_, index) => {
    const at = HEADER_BYTES + index * DESCRIPTOR_BYTES;
    return { block: u64(view, at), count: view.getUint32(at + 8) };
  });
  const outside = extents.find((extent) => !isInside(unit, extent));
  if (outside !== undefined) {
    return check({ ...SENSE.lbaOutOfRange, information: outside.block });
  }
  const blocks = extents.reduce((sum, extent) => sum + extent.count, 0);
  return blocks > maxUnmapBlocks(unit) ? check(SENSE.invalidFieldInParameters) : extents;
}

async function discardAll(
  { unit, aborted, changed }: CommandContext,
  extents: readonly Extent[],
): Promise<ScsiOutcome> {
  const medium = unit.medium as Medium;
  for (const { block, count } of extents) {
    if (aborted()) break;
    if (count === 0) continue;
    await medium.discard(block * unit.blockBytes, count * unit.blockBytes);
    changed(count * unit.blockBytes);
  }
  if (!unit.modes.writeCache) await medium.flush();
  return GOOD;
}

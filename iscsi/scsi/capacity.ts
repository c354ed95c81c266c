/** READ CAPACITY and GET LBA STATUS. SBC-3 sections 5.4, 5.15 and 5.16. */
import { asRestoreError, extentsOf } from '../../core/index.ts';
import {
  check,
  type CommandContext,
  invalidField,
  parameterData,
  type ScsiCommand,
  type ScsiOutcome,
  u64,
} from './command.ts';
import { outcomeOfError } from './error-sense.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { SENSE } from './sense.ts';

const MAX_STATUS_DESCRIPTORS = 256;
const STATUS_HEADER_BYTES = 8;
const STATUS_DESCRIPTOR_BYTES = 16;
/** One answer looks no further, so that a long hole costs a bounded walk of the map. */
const STATUS_SPAN_BYTES = 16 * 2 ** 30;

export const CAPACITY_COMMANDS: readonly ScsiCommand[] = [
  {
    name: 'READ CAPACITY(10)',
    opcode: 0x25,
    usage: '25 00 ffffffff 0000 01 00',
    reservationRule: 'persistent',
    run({ cdb, unit }) {
      const partial = (cdb.getUint8(8) & 1) !== 0;
      if (partial || cdb.getUint32(2) !== 0) return invalidField(partial ? 8 : 2);
      const data = new DataView(new ArrayBuffer(8));
      data.setUint32(0, Math.min(unit.blockCount - 1, 0xffffffff));
      data.setUint32(4, unit.blockBytes);
      return { kind: 'data', data: new Uint8Array(data.buffer) };
    },
  },
  {
    name: 'READ CAPACITY(16)',
    opcode: 0x9e,
    serviceAction: 0x10,
    usage: '9e 10 ffffffffffffffff ffffffff 01 00',
    reservationRule: 'persistent',
    run({ cdb, unit }) {
      const partial = (cdb.getUint8(14) & 1) !== 0;
      if (partial || u64(cdb, 2) !== 0) return invalidField(partial ? 14 : 2);
      return parameterData(capacity16(unit), cdb.getUint32(10));
    },
  },
  {
    name: 'GET LBA STATUS',
    opcode: 0x9e,
    serviceAction: 0x12,
    usage: '9e 1f ffffffffffffffff ffffffff 00 00',
    reservationRule: 'reads',
    async run(context) {
      const block = u64(context.cdb, 2);
      if (block >= context.unit.blockCount) return check(SENSE.lbaOutOfRange);
      return lbaStatus(context, block, context.cdb.getUint32(10));
    },
  },
];

function capacity16(unit: LogicalUnit): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(unit.blockCount - 1));
  view.setUint32(8, unit.blockBytes);
  // The size of physical blocks, as an exponent of two.
  bytes[13] = Math.max(0, Math.log2(unit.physicalBlockBytes / unit.blockBytes));
  if (unit.thin) bytes[14] = 0xc0; // LBPME, LBPRZ
  return bytes;
}

interface Run {
  readonly block: number;
  readonly count: number;
  readonly mapped: boolean;
}

async function lbaStatus(
  context: CommandContext,
  block: number,
  allocationBytes: number,
): Promise<ScsiOutcome> {
  const fitting = Math.floor((allocationBytes - STATUS_HEADER_BYTES) / STATUS_DESCRIPTOR_BYTES);
  const wanted = Math.min(Math.max(fitting, 1), MAX_STATUS_DESCRIPTORS);
  try {
    return parameterData(encodeRuns(await runsFrom(context, block, wanted)), allocationBytes);
  } catch (error) {
    return outcomeOfError(asRestoreError(error, 'the map of the disk cannot be read'), block);
  }
}

/** Data and holes in turn from `block` on, at most `wanted` of them, in whole blocks. */
async function runsFrom(
  { unit, signal }: CommandContext,
  block: number,
  wanted: number,
): Promise<readonly Run[]> {
  const end = Math.min(unit.blockCount, block + STATUS_SPAN_BYTES / unit.blockBytes);
  const start = block * unit.blockBytes;
  const runs: Run[] = [];
  let at = block;
  const add = (until: number, mapped: boolean): void => {
    const last = runs.at(-1);
    if (until <= at) return;
    if (last?.mapped === mapped) {
      runs[runs.length - 1] = { ...last, count: last.count + until - at };
    } else runs.push({ block: at, count: until - at, mapped });
    at = until;
  };
  const length = end * unit.blockBytes - start;
  for await (const extent of extentsOf(unit.source, start, length, signal)) {
    add(Math.floor(extent.offset / unit.blockBytes), false);
    add(Math.ceil((extent.offset + extent.length) / unit.blockBytes), true);
    if (runs.length > wanted) break;
  }
  if (runs.length <= wanted) add(end, false);
  return runs.slice(0, wanted);
}

function encodeRuns(runs: readonly Run[]): Uint8Array {
  const bytes = new Uint8Array(STATUS_HEADER_BYTES + runs.length * STATUS_DESCRIPTOR_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length - 4);
  runs.forEach((run, index) => {
    const at = STATUS_HEADER_BYTES + index * STATUS_DESCRIPTOR_BYTES;
    view.setBigUint64(at, BigInt(run.block));
    view.setUint32(at + 8, run.count);
    view.setUint8(at + 12, run.mapped ? 0 : 1);
  });
  return bytes;
}

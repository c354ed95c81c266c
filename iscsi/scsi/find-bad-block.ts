import type { LogicalUnit } from './logical-unit.ts';

const MAX_PIECES = 64;

/** How far a failed range can be read after all. */
export interface BadBlock {
  /** Whole blocks before the bad one; they read well. */
  readonly goodBytes: number;
  /** The first logical block that cannot be read; `undefined` when a second try read them all. */
  readonly badBlock: number | undefined;
}

/**
 * Finds the first block of a failed range that cannot be read, so that an initiator is told its
 * address and gets what lies before it. Pieces first, then the blocks of the bad piece: bounded, and
 * only ever run after a failure.
 */
export async function findBadBlock(
  unit: LogicalUnit,
  offsetBytes: number,
  lengthBytes: number,
  signal: AbortSignal,
): Promise<BadBlock> {
  const end = offsetBytes + lengthBytes;
  const step = Math.max(
    unit.peekBytes,
    Math.ceil(lengthBytes / MAX_PIECES / unit.peekBytes) * unit.peekBytes,
  );
  const buffer = new Uint8Array(Math.min(step, lengthBytes));
  let at = offsetBytes;
  while (at < end) {
    const next = Math.min(end, (Math.floor(at / step) + 1) * step);
    if (!(await reads(unit, buffer.subarray(0, next - at), at, signal))) {
      return firstBadIn(unit, offsetBytes, at, next, signal);
    }
    at = next;
  }
  return { goodBytes: lengthBytes, badBlock: undefined };
}

async function firstBadIn(
  unit: LogicalUnit,
  start: number,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<BadBlock> {
  const block = new Uint8Array(unit.blockBytes);
  let at = from;
  while (at < to && (await reads(unit, block, at, signal))) at += unit.blockBytes;
  // The piece failed and each of its blocks did not: trust the failure, and name its start.
  if (at >= to) at = from;
  return { goodBytes: at - start, badBlock: at / unit.blockBytes };
}

async function reads(
  unit: LogicalUnit,
  target: Uint8Array,
  offsetBytes: number,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await unit.source.readInto(target, offsetBytes, signal);
    return true;
  } catch {
    return false;
  }
}

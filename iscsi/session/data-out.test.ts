import { describe, expect, it } from 'vitest';
import { SENSE } from '../scsi/sense.ts';
import { DataOutTransfer, type UnsolicitedRules } from './data-out.ts';

const RULES: UnsolicitedRules = {
  initialR2T: false,
  immediateData: true,
  firstBurstLengthBytes: 1024,
  maxBurstLengthBytes: 2048,
};
const UNSOLICITED = 0xffffffff;

class Collected {
  data: Buffer = Buffer.alloc(0);

  take(data: Uint8Array): void {
    this.data = Buffer.concat([this.data, data]);
  }
}

function bytes(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

describe('DataOutTransfer', () => {
  it('puts immediate, unsolicited and solicited data together', () => {
    const collected = new Collected();
    const transfer = new DataOutTransfer(4096, 4096, RULES, collected);
    transfer.command(bytes(512, 1), false);
    expect(transfer.burstOpen).toBe(true);
    transfer.dataOut({
      targetTransferTag: UNSOLICITED,
      dataSn: 0,
      bufferOffset: 512,
      final: true,
      data: bytes(512, 2),
    });
    const asked = [];
    for (let tag = 1; !transfer.complete; tag += 1) {
      const { sequence, offsetBytes, lengthBytes } = transfer.solicit(tag);
      asked.push([sequence, offsetBytes, lengthBytes]);
      transfer.dataOut({
        targetTransferTag: tag,
        dataSn: 0,
        bufferOffset: offsetBytes,
        final: true,
        data: bytes(lengthBytes, 2 + tag),
      });
    }
    expect(asked).toEqual([
      [0, 1024, 2048],
      [1, 3072, 1024],
    ]);
    const expected = Buffer.concat([bytes(512, 1), bytes(512, 2), bytes(2048, 3), bytes(1024, 4)]);
    expect(collected.data.equals(expected)).toBe(true);
    expect(transfer.trouble).toBeUndefined();
  });

  it('asks for nothing when nothing is wanted, and keeps nothing', () => {
    const transfer = new DataOutTransfer(1_000_000, 0, RULES, new Collected());
    transfer.command(bytes(1024, 1), true);
    expect(transfer.complete).toBe(true);
    expect(transfer.usedBytes).toBe(0);
  });

  it.each([
    ['immediate data that were not agreed', { immediateData: false }, 512, true],
    ['unsolicited data that were not agreed', { initialR2T: true }, 0, false],
    ['more than the first burst', {}, 1025, true],
  ])('finds %s', (_, rules, immediate, final) => {
    const transfer = new DataOutTransfer(4096, 4096, { ...RULES, ...rules }, new Collected());
    transfer.command(bytes(immediate, 1), final);
    expect(transfer.trouble).toEqual(SENSE.unexpectedUnsolicitedData);
  });

  it('finds data beyond the expected length', () => {
    const transfer = new DataOutTransfer(512, 512, RULES, new Collected());
    transfer.command(bytes(513, 1), true);
    expect(transfer.trouble).toEqual(SENSE.unexpectedUnsolicitedData);
  });

  it('is not complete while a broken burst is still coming', () => {
    const transfer = new DataOutTransfer(4096, 4096, RULES, new Collected());
    transfer.command(bytes(2000, 1), false);
    expect(transfer.trouble).toBeDefined();
    expect(transfer.complete).toBe(false);
    transfer.dataOut({
      targetTransferTag: UNSOLICITED,
      dataSn: 0,
      bufferOffset: 2000,
      final: true,
      data: bytes(10, 1),
    });
    expect(transfer.complete).toBe(true);
  });
});

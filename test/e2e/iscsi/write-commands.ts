/** Writes by hand: CDBs, and data sent in any of the ways that may be agreed. */
import { randomBytes } from '../../fixtures/random.ts';
import { read10 } from './fixture.ts';
import { type CommandResult, dataOut, type RawClient } from './raw-client.ts';

export function cdb10(opcode: number, block: number, count: number, flags = 0): Buffer {
  const cdb = read10(block, count);
  cdb[0] = opcode;
  cdb[1] = flags;
  return cdb;
}

export function cdb16(opcode: number, block: number, count: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(16);
  cdb[0] = opcode;
  cdb[1] = flags;
  cdb.writeBigUInt64BE(BigInt(block), 2);
  cdb.writeUInt32BE(count, 10);
  return cdb;
}

export function noise(length: number, seed = 3): Buffer {
  return Buffer.from(randomBytes(length, seed));
}

export interface Feed {
  /** Bytes that go with the command. */
  readonly immediate?: number;
  /** Bytes up to which unsolicited Data-Out PDUs follow. */
  readonly unsolicited?: number;
  readonly pduBytes?: number;
  readonly announced?: number;
}

/** Sends a command with its data as agreed, answers R2T PDUs, and collects the answer. */
export async function send(
  own: RawClient,
  cdb: Buffer,
  data: Buffer,
  { immediate = 0, unsolicited = immediate, pduBytes = 8192, announced }: Feed = {},
): Promise<CommandResult & { readonly bursts: readonly number[] }> {
  const tag = own.sendCommand(cdb, {
    writeBytes: announced ?? data.length,
    immediateData: data.subarray(0, immediate),
    final: unsolicited <= immediate,
  });
  const bursts: number[] = [];
  const pour = (transferTag: number, start: number, end: number): void => {
    let number = 0;
    for (let at = start; at < end; at += pduBytes) {
      const part = data.subarray(at, Math.min(end, at + pduBytes));
      own.send(dataOut(tag, transferTag, number, at, at + part.length === end), part);
      number += 1;
    }
  };
  pour(0xffffffff, immediate, unsolicited);
  for (;;) {
    const pdu = await own.receive();
    const opcode = pdu.bhs.readUInt8(0) & 0x3f;
    if (opcode === 0x31) {
      const start = pdu.bhs.readUInt32BE(40);
      const length = pdu.bhs.readUInt32BE(44);
      bursts.push(length);
      pour(pdu.bhs.readUInt32BE(20), start, start + length);
      continue;
    }
    const flags = pdu.bhs.readUInt8(1);
    const count = pdu.bhs.readUInt32BE(44);
    return {
      status: pdu.bhs.readUInt8(3),
      data: Buffer.alloc(0),
      sense: pdu.data.subarray(2),
      residual: (flags & 0x04) !== 0 ? count : (flags & 0x02) !== 0 ? -count : 0,
      dataPdus: [],
      bursts,
    };
  }
}

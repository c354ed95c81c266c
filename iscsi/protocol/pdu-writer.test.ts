import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c } from '../../core/index.ts';
import { BufferPool } from './buffer-pool.ts';
import { PduWriter } from './pdu-writer.ts';

/** Small, so that slabs are used again and again. */
const SLAB_BYTES = 16 * 1024;
const BHS_BYTES = 48;

let sender: Socket;
let receiver: Socket;
let received: Buffer[];

beforeEach(async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const accepted = once(server, 'connection');
  receiver = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1');
  [sender] = (await accepted) as [Socket];
  received = [];
  receiver.on('data', (chunk: Buffer) => received.push(chunk));
  server.close();
});

afterEach(() => {
  sender.destroy();
  receiver.destroy();
});

/** `length` bytes that tell which PDU they belong to. */
function payload(index: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (index * 31 + at) & 0xff));
}

async function receiveBytes(count: number): Promise<Buffer> {
  const total = (): number => received.reduce((sum, { length }) => sum + length, 0);
  await expect.poll(total, { timeout: 10_000 }).toBe(count);
  return Buffer.concat(received);
}

describe('PduWriter', () => {
  it.each([false, true])(
    'sends every byte in order while slabs are reused; digests %s',
    async (digests) => {
      const budget = { usedBytes: 0 };
      const writer = new PduWriter(sender, new BufferPool(SLAB_BYTES, 4), budget);
      writer.headerDigest = digests;
      writer.dataDigest = digests;
      const expected: Buffer[] = [];
      const lengths = [0, 1, 4096, 8192, 8193, 70_000, 4096, 100];
      let released = 0;
      // The receiver stands still at first, so that writes pile up behind full socket buffers.
      receiver.pause();
      for (let index = 0; index < 600; index += 1) {
        const data = payload(index, lengths[index % lengths.length] ?? 0);
        const at = writer.begin(0x25, data.length);
        writer.view.setUint32(at + 16, index);
        const middle = data.length >> 1;
        if (index % 3 === 0) writer.end(data);
        else {
          writer.endWith([data.subarray(0, middle), data.subarray(middle)], data.length, () => {
            released += 1;
          });
        }
        expected.push(onWire(index, data, digests));
        if (index % 5 === 0) writer.flush();
        if (index % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (index === 300) receiver.resume();
      }
      writer.flush();
      const whole = Buffer.concat(expected);
      expect((await receiveBytes(whole.length)).equals(whole)).toBe(true);
      await expect.poll(() => writer.queuedBytes).toBe(0);
      expect(budget.usedBytes).toBe(0);
      expect(released).toBe(400);
    },
  );
});

function onWire(tag: number, data: Buffer, digests: boolean): Buffer {
  const header = Buffer.alloc(BHS_BYTES);
  header[0] = 0x25;
  header[1] = 0x80;
  header.writeUInt32BE(data.length, 4);
  header.writeUInt32BE(tag, 16);
  const padded = Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
  if (!digests) return Buffer.concat([header, padded]);
  return Buffer.concat([
    header,
    digestOf(header),
    padded,
    ...(data.length === 0 ? [] : [digestOf(padded)]),
  ]);
}

function digestOf(bytes: Buffer): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(crc32c(bytes));
  return word;
}

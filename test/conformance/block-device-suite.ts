import { describe, expect, it } from 'vitest';
import { type BlockDevice, extentsOf, isRestoreError, type SectorSize } from '../../core/index.ts';
import { randomBytes, seededRandom } from '../fixtures/random.ts';

/** What the suite needs of the device under test. */
export interface DeviceUnderTest {
  readonly device: BlockDevice;
  /** What it reads as before the first write; the suite changes it as its model. */
  readonly content: Uint8Array;
  /** Closes the device and opens it again: what was flushed must be there. */
  readonly reopen: () => Promise<BlockDevice>;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The contract of `BlockDevice`, besides that of `BlockSource`. `make` gives a fresh, open device. */
export function blockDeviceSuite(
  name: string,
  seed: number,
  make: () => Promise<DeviceUnderTest>,
): void {
  const withDevice =
    (body: (under: DeviceUnderTest) => Promise<BlockDevice | void>): (() => Promise<void>) =>
    async () => {
      const under = await make();
      const last = (await body(under)) ?? under.device;
      await last.close();
    };

  describe(`${name} keeps the BlockDevice contract (seed ${seed})`, () => {
    it(
      'reads back random writes and discards, one after the other',
      withDevice(async ({ device, content, reopen }) => {
        const random = seededRandom(seed);
        for (let round = 0; round < 300; round += 1) {
          await change(device, content, random, seed + round);
          if (random() < 0.1) await device.flush();
          const { offset, length } = sectors(random, device);
          await expectBytes(device, content, offset, length);
        }
        await expectBytes(device, content, 0, content.length);
        await expectExtents(device, content);
        await device.flush();
        const again = await reopen();
        await expectBytes(again, content, 0, content.length);
        return again;
      }),
    );

    it(
      'reads back writes made at once, in any mix that does not overlap',
      withDevice(async ({ device, content, reopen }) => {
        const random = seededRandom(seed + 1);
        for (let round = 0; round < 15; round += 1) {
          const lanes = cut(device.size, 12, device.sectorSize);
          await Promise.all(
            lanes.map(async (lane, number) => {
              for (let step = 0; step < 4; step += 1) {
                await change(device, content, random, seed + round * 100 + number * 4 + step, lane);
                if (random() < 0.1) await device.flush();
                await expectBytes(device, content, lane.offset, lane.length);
              }
            }),
          );
        }
        await device.flush();
        const again = await reopen();
        await expectBytes(again, content, 0, content.length);
        return again;
      }),
    );

    it(
      'serialises writes that overlap, and shows readers whole sectors of one of them',
      withDevice(async ({ device, content }) => {
        const { sectorSize } = device;
        const random = seededRandom(seed + 2);
        const area = { offset: 0, length: Math.min(device.size, 96 * 4096) };
        // One letter a write: a sector of two letters is torn.
        content.fill(1, area.offset, area.length);
        await device.writeFrom(content.subarray(0, area.length), 0);
        for (let round = 0; round < 20; round += 1) {
          const writes = Array.from({ length: 10 }, (_, number) => {
            const range = sectors(random, { ...area, size: area.length, sectorSize });
            return { ...range, letter: 2 + ((round * 10 + number) % 250) };
          });
          const reads = Array.from({ length: 10 }, async () => {
            const { offset, length } = sectors(random, { size: area.length, sectorSize });
            const target = new Uint8Array(length);
            await device.readInto(target, offset);
            expectWholeSectors(target, sectorSize);
          });
          await Promise.all([
            ...reads,
            ...writes.map(({ offset, length, letter }) =>
              device.writeFrom(new Uint8Array(length).fill(letter), offset),
            ),
          ]);
          const target = new Uint8Array(area.length);
          await device.readInto(target, 0);
          expectWholeSectors(target, sectorSize);
          for (let at = 0; at < target.length; at += sectorSize) {
            const possible = writes
              .filter(({ offset, length }) => offset <= at && at < offset + length)
              .map(({ letter }) => letter);
            const found = target[at] as number;
            expect(possible.length === 0 ? [content[at]] : possible).toContain(found);
            content.fill(found, at, at + sectorSize);
          }
        }
      }),
    );

    it(
      'never changes a view that it gave',
      withDevice(async ({ device, content }) => {
        const random = seededRandom(seed + 3);
        const views: { view: Uint8Array; copy: Uint8Array }[] = [];
        for (let round = 0; round < 100; round += 1) {
          await change(device, content, random, seed + round);
          const offset = Math.floor(random() * (device.size / 4096)) * 4096;
          const view = device.peek(offset, Math.min(4096, device.size - offset));
          if (view === undefined) continue;
          expect(Buffer.compare(view, content.subarray(offset, offset + view.length))).toBe(0);
          views.push({ view, copy: view.slice() });
        }
        for (const { view, copy } of views) expect(Buffer.compare(view, copy)).toBe(0);
      }),
    );

    it(
      'lets the caller reuse its memory once a write has resolved',
      withDevice(async ({ device, content }) => {
        for (const length of [512, 4096, 65_536, 1_048_576]) {
          if (length % device.sectorSize !== 0 || length > device.size) continue;
          const data = randomBytes(length, seed + length);
          content.set(data, 0);
          await device.writeFrom(data, 0);
          data.fill(0xee);
          await expectBytes(device, content, 0, length);
        }
      }),
    );

    it(
      'refuses what is not whole sectors, not inside it, or cancelled, and changes nothing',
      withDevice(async ({ device, content }) => {
        const { sectorSize, size } = device;
        const bad: [number, number][] = [
          [1, sectorSize],
          [0, sectorSize - 1],
          [size, sectorSize],
          [size - sectorSize, 2 * sectorSize],
          [-sectorSize, sectorSize],
          [Number.NaN, sectorSize],
        ];
        const is = (code: 'INVALID' | 'CANCELLED') => (error: unknown) =>
          isRestoreError(error, code);
        for (const [offset, length] of bad) {
          const data = new Uint8Array(length).fill(7);
          await expect(device.writeFrom(data, offset)).rejects.toSatisfy(is('INVALID'));
          await expect(device.discard(offset, length)).rejects.toSatisfy(is('INVALID'));
        }
        const signal = AbortSignal.abort();
        const data = new Uint8Array(sectorSize).fill(7);
        await expect(device.writeFrom(data, 0, signal)).rejects.toSatisfy(is('CANCELLED'));
        await expect(device.discard(0, sectorSize, signal)).rejects.toSatisfy(is('CANCELLED'));
        await device.writeFrom(new Uint8Array(0), 0);
        await device.discard(size, 0);
        await expectBytes(device, content, 0, size);
      }),
    );
  });
}

async function change(
  device: BlockDevice,
  model: Uint8Array,
  random: () => number,
  seed: number,
  lane: Range = { offset: 0, length: device.size },
): Promise<void> {
  const { sectorSize } = device;
  const { offset, length } = sectors(random, { size: lane.length, sectorSize });
  const at = lane.offset + offset;
  if (random() < 0.25) {
    await device.discard(at, length);
    model.fill(0, at, at + length);
  } else {
    const data = randomBytes(length, seed);
    await device.writeFrom(data, at);
    model.set(data, at);
  }
}

/** Whole sectors, mostly few. */
function sectors(
  random: () => number,
  { size, sectorSize }: { readonly size: number; readonly sectorSize: SectorSize },
): Range {
  const count = Math.floor(size / sectorSize);
  const first = Math.floor(random() * count);
  const most = random() < 0.6 ? 4 : random() < 0.8 ? 40 : 1200;
  const length = 1 + Math.floor(random() * Math.min(most, count - first));
  return { offset: first * sectorSize, length: Math.min(length, count - first) * sectorSize };
}

/** Parts that do not overlap, at sector boundaries and not at those of pages. */
function cut(size: number, parts: number, sectorSize: number): Range[] {
  const step = Math.floor(size / sectorSize / parts) * sectorSize;
  return Array.from({ length: parts }, (_, number) => ({ offset: number * step, length: step }));
}

async function expectBytes(
  device: BlockDevice,
  model: Uint8Array,
  offset: number,
  length: number,
): Promise<void> {
  const target = new Uint8Array(length);
  await device.readInto(target, offset);
  const expected = model.subarray(offset, offset + length);
  if (Buffer.compare(target, expected) === 0) return;
  const at = target.findIndex((byte, index) => byte !== expected[index]);
  expect.fail(`byte ${offset + at} is ${target[at]}, not ${expected[at]}`);
}

async function expectExtents(device: BlockDevice, model: Uint8Array): Promise<void> {
  let at = 0;
  for await (const { offset, length } of extentsOf(device)) {
    expect(offset).toBeGreaterThanOrEqual(at);
    expect(model.subarray(at, offset).every((byte) => byte === 0)).toBe(true);
    at = offset + length;
  }
  expect(model.subarray(at).every((byte) => byte === 0)).toBe(true);
}

function expectWholeSectors(bytes: Uint8Array, sectorSize: number): void {
  for (let at = 0; at < bytes.length; at += sectorSize) {
    const sector = bytes.subarray(at, at + sectorSize);
    if (sector.every((byte) => byte === sector[0])) continue;
    expect.fail(`the sector at ${at} is torn`);
  }
}

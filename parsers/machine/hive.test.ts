import { readFileSync, rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource, isRestoreError } from '../../core/index.ts';
import { seededRandom } from '../../test/fixtures/random.ts';
import { findTool } from '../../test/fixtures/tools/index.ts';
import { exportHive, type RegistryValue, writeHive } from '../../test/fixtures/volumes/index.ts';
import { Hive } from './hive.ts';

const reason = findTool('hivexregedit') === undefined ? 'hivexregedit is not installed' : undefined;
const VALUES: RegistryValue[] = Array.from({ length: 40 }, (_, index) => ({
  name: `\\??\\Volume{${index}}`,
  data: Buffer.alloc(index * 3, index),
}));

let folder: string;
let file: string;
beforeAll(async () => {
  if (reason !== undefined) return;
  folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-hive-'));
  file = path.join(folder, 'SYSTEM');
  await writeHive(file, 'MountedDevices', VALUES);
});
afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});
beforeEach((context) => context.skip(reason !== undefined, reason));

async function valuesOf(bytes: Uint8Array, key = 'MountedDevices') {
  return await (await Hive.open(new BytesSource(bytes))).values([key]);
}

describe('a registry hive', () => {
  it('has the values that hivexregedit exports', async () => {
    const ours = await valuesOf(readFileSync(file));
    const theirs = await exportHive(file, 'MountedDevices');
    expect(ours).toHaveLength(VALUES.length);
    expect(new Map(ours?.map(({ name, data }) => [name, Buffer.from(data)]))).toEqual(theirs);
  });

  it('finds a key in any case, and none where there is none', async () => {
    expect(await valuesOf(readFileSync(file), 'MOUNTEDdevices')).toHaveLength(VALUES.length);
    expect(await valuesOf(readFileSync(file), 'Select')).toBeUndefined();
  });

  it('that was in use is read, and said to have been', async () => {
    const bytes = readFileSync(file);
    bytes.writeUInt32LE(bytes.readUInt32LE(4) + 1, 4);
    const hive = await Hive.open(new BytesSource(bytes));
    expect(hive.findings[0]?.message).toContain('in use');
    expect(await hive.values(['MountedDevices'])).toHaveLength(VALUES.length);
  });

  it('is refused when it is none', async () => {
    await expect(valuesOf(new Uint8Array(8192))).rejects.toSatisfy((error) =>
      isRestoreError(error, 'CORRUPT'),
    );
  });

  const SEED = Number(process.env['REHYDRATE_FUZZ_SEED'] ?? 20261122);
  it(`with any byte changed gives values or an error of ours, seed ${SEED}`, async () => {
    const whole = readFileSync(file);
    const random = seededRandom(SEED);
    for (let round = 0; round < 3000; round += 1) {
      const bytes = Buffer.from(whole);
      for (let count = 1 + Math.floor(random() * 8); count > 0; count -= 1) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
      try {
        await valuesOf(bytes);
      } catch (error) {
        if (!isRestoreError(error))
          throw new Error(`seed ${SEED}, round ${round}`, { cause: error });
      }
    }
  });
});

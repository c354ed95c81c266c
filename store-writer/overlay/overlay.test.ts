import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type BlockSource,
  BytesSource,
  isRestoreError,
  type SectorSize,
} from '../../core/index.ts';
import { blockDeviceSuite } from '../../test/conformance/block-device-suite.ts';
import { blockSourceSuite } from '../../test/conformance/block-source-suite.ts';
import { randomBytes, seededRandom } from '../../test/fixtures/random.ts';
import { Scratch } from '../../test/fixtures/repository.ts';
import { localFiles } from '../index.ts';
import { createOverlay, deleteOverlay, listOverlays, openOverlay } from './overlays.ts';
import type { Overlay } from './overlay.ts';

const MIB = 1024 * 1024;
const PAGE = 4096;
const SEED = Number(process.env['REHYDRATE_TEST_SEED'] ?? 20_261);
const META = {
  repositoryId: 'aa'.repeat(16),
  machine: 'sql02',
  pointId: 'bb'.repeat(16),
  diskId: 'disk0',
};
const LIMITS = { sizeLimitBytes: 64 * MIB, freeSpaceFloorBytes: 0 };

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

let folders = 0;
const freshFolder = (): string => scratch.file(`overlay${(folders += 1)}`);

/** A base that gives nothing without waiting, as a cold store does. */
class ColdSource implements BlockSource {
  readonly size: number;
  readonly sectorSize: SectorSize;
  readonly #bytes: BytesSource;

  constructor(content: Uint8Array, sectorSize: SectorSize = 512) {
    this.#bytes = new BytesSource(content, sectorSize);
    this.size = content.byteLength;
    this.sectorSize = sectorSize;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    await new Promise(setImmediate);
    await this.#bytes.readInto(target, offset, signal);
  }

  peek(offset: number, length: number): undefined {
    this.#bytes.peek(offset, length);
  }

  async close(): Promise<void> {}
}

/** Noise, with holes of zeros, and a last page that is short on disks of 512-byte sectors. */
function content(sectorSize: SectorSize): Uint8Array {
  const bytes = randomBytes(2 * MIB + sectorSize, SEED);
  bytes.fill(0, 300_000, 900_000);
  return bytes;
}

const BASES = { 'in memory': BytesSource, 'that must be waited for': ColdSource } as const;

for (const [kind, Base] of Object.entries(BASES)) {
  for (const sectorSize of [512, 4096] as const) {
    const name = `an overlay over a disk ${kind}, sectors of ${sectorSize},`;
    const make = async (folder: string): Promise<{ overlay: Overlay; bytes: Uint8Array }> => {
      const bytes = content(sectorSize);
      const base = new Base(bytes.slice(), sectorSize);
      return { overlay: await createOverlay({ folder, base, meta: META, ...LIMITS }), bytes };
    };

    blockSourceSuite(`${name} untouched`, async () => {
      const { overlay, bytes } = await make(freshFolder());
      return { source: overlay, content: bytes };
    });

    blockSourceSuite(`${name} written to and opened again`, async () => {
      const folder = freshFolder();
      const { overlay, bytes } = await make(folder);
      const original = bytes.slice();
      const random = seededRandom(SEED);
      for (let round = 0; round < 40; round += 1) {
        const offset = Math.floor((random() * overlay.size) / sectorSize) * sectorSize;
        const length = Math.min(overlay.size - offset, sectorSize * (1 + (round % 20)));
        if (round % 4 === 0) {
          await overlay.discard(offset, length);
          bytes.fill(0, offset, offset + length);
        } else {
          const data = randomBytes(length, round);
          await overlay.writeFrom(data, offset);
          bytes.set(data, offset);
        }
      }
      await overlay.close();
      const base = new Base(original, sectorSize);
      return { source: await openOverlay({ folder, base }), content: bytes };
    });

    blockDeviceSuite(name, SEED, async () => {
      const folder = freshFolder();
      const { overlay, bytes } = await make(folder);
      const original = bytes.slice();
      return {
        device: overlay,
        content: bytes,
        reopen: async () => {
          await overlay.close();
          return await openOverlay({ folder, base: new Base(original, sectorSize) });
        },
      };
    });
  }
}

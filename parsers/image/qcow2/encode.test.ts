import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type BlockSource,
  BytesSource,
  type Extent,
  isRestoreError,
  readBytes,
  type SparseSource,
} from '../../../core/index.ts';
import { randomBytes, seededRandom } from '../../../test/fixtures/random.ts';
import { findTool, run } from '../../../test/fixtures/tools/index.ts';
import { encodeImage } from '../encode.ts';

const CLUSTER = 65_536;
const reason = findTool('qemu-img') === undefined ? 'qemu-img is not installed' : undefined;

/** Bytes with the extents that hold them, as a sparse source tells. */
function sparse(content: Uint8Array, extents: readonly Extent[]): SparseSource {
  const source = new BytesSource(content);
  return {
    size: source.size,
    sectorSize: 512,
    readInto: (target, offset, signal) => source.readInto(target, offset, signal),
    peek: (offset, length) => source.peek(offset, length),
    close: () => source.close(),
    async *extents() {
      yield* extents;
    },
  };
}

async function judge(source: BlockSource, content: Uint8Array): Promise<number> {
  const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-qcow2-'));
  try {
    const encoded = await encodeImage(source, 'qcow2');
    const file = path.join(folder, 'disk.qcow2');
    writeFileSync(file, await readBytes(encoded, 0, encoded.size));
    const raw = path.join(folder, 'disk.raw');
    writeFileSync(raw, content);
    const check = await run('qemu-img', ['check', '-f', 'qcow2', file]);
    expect(check.stdout).toContain('No errors were found');
    const compare = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', raw, file]);
    expect(compare.stdout).toContain('Images are identical.');
    return encoded.size;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('a disk as a qcow2 file', () => {
  it('satisfies qemu-img, whatever the disk’s size', async (context) => {
    context.skip(reason !== undefined, reason);
    for (const size of [512, CLUSTER, CLUSTER + 512, 40 * CLUSTER - 512]) {
      const content = randomBytes(size, size);
      await judge(new BytesSource(content), content);
    }
  });

  it('leaves out what holds no data', async (context) => {
    context.skip(reason !== undefined, reason);
    const random = seededRandom(11);
    const content = new Uint8Array(600 * 1024 * 1024);
    const extents: Extent[] = [];
    for (let offset = 0; offset < content.length - 2_000_000; ) {
      const length = 512 * (1 + Math.floor(random() * 400));
      content.set(randomBytes(length, offset), offset);
      extents.push({ offset, length });
      offset += length + 512 * Math.floor(random() * 100_000);
    }
    const size = await judge(sparse(content, extents), content);
    expect(size).toBeLessThan(content.length / 5);
  });

  it('holds a disk of zeros in its metadata alone', async (context) => {
    context.skip(reason !== undefined, reason);
    const content = new Uint8Array(8 * 1024 * 1024);
    expect(await judge(sparse(content, []), content)).toBe(4 * CLUSTER);
  });

  it('refuses what is not a whole number of sectors', async () => {
    await expect(encodeImage(new BytesSource(new Uint8Array(700)), 'qcow2')).rejects.toSatisfy(
      (e) => isRestoreError(e, 'INVALID'),
    );
  });
});

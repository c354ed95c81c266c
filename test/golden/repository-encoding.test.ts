/** A captured disk, encoded as qcow2 while it is read: the source contract, and qemu as the judge. */
import { readFileSync } from 'node:fs';
import { afterAll } from 'vitest';
import { BytesSource } from '../../core/index.ts';
import { encodeImage } from '../../parsers/index.ts';
import { NativeRepository, resolveDisk } from '../../store-reader/index.ts';
import { writeDisk } from '../../store-writer/index.ts';
import { blockSourceSuite } from '../conformance/block-source-suite.ts';
import { randomBytes } from '../fixtures/random.ts';
import { Scratch, TestRepository } from '../fixtures/repository.ts';
import { findTool, run } from '../fixtures/tools/index.ts';

const BLOCK = 65_536;
const scratch = new Scratch();
afterAll(() => scratch[Symbol.dispose]());
const made = prepare();

/** Captures a disk and writes it as qcow2 once, as a file that qemu-img has compared. */
async function prepare(): Promise<{ location: string; encoded: Uint8Array }> {
  const repository = await TestRepository.create(scratch);
  const content = new Uint8Array(BLOCK * 90 + 512);
  for (const block of [0, 1, 7, 40, 41, 89, 90]) {
    const length = Math.min(BLOCK, content.length - block * BLOCK);
    content.set(randomBytes(length, block + 1), block * BLOCK);
  }
  await repository.capture('m', [new BytesSource(content)]);
  const source = await openEncoding(repository.location);
  const file = scratch.file('disk.qcow2');
  await writeDisk(source, file);
  await source.close();
  if (findTool('qemu-img') !== undefined) {
    const raw = scratch.file('disk.raw');
    await writeDisk(new BytesSource(content), raw);
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', raw, file]);
  }
  return { location: repository.location, encoded: readFileSync(file) };
}

async function openEncoding(location: string): ReturnType<typeof encodeImage> {
  const repository = await NativeRepository.open(location, { cacheBytes: 4 * BLOCK });
  const { point, disk } = await resolveDisk(repository, 'm@latest');
  const encoding = await encodeImage(repository.openDisk(point, disk), 'qcow2');
  const close = async (): Promise<void> => {
    await encoding.close();
    await repository.close();
  };
  return new Proxy(encoding, {
    get: (target, key) => {
      if (key === 'close') return close;
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

blockSourceSuite('a captured disk as qcow2', async () => {
  const { location, encoded } = await made;
  return { source: await openEncoding(location), content: encoded };
});

import { statSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BlockSource, BytesSource, faulty, HealthLog, slice } from '../../../core/index.ts';
import { missingForNtfs, withNtfsMounted } from '../../../test/fixtures/file-systems/index.ts';
import {
  attributeBytes,
  extendedAttribute,
  NtfsScratch,
  recordWords,
} from '../../../test/fixtures/file-systems/ntfs-scratch.ts';
import { SecurityDescriptors } from './security.ts';

const COPY_BYTES = 256 * 1024;
const reason = missingForNtfs('getfattr', 'icat', 'istat');

describe(`security descriptors${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  let stream: Buffer;
  /** Three files' numbers and descriptors, as `istat` and ntfs-3g tell them. */
  let known: { id: number; descriptor: Buffer }[];

  let health: HealthLog;

  beforeEach((context) => {
    context.skip(scratch === undefined, reason);
    health = new HealthLog();
  });
  beforeAll(async () => {
    if (scratch === undefined) return;
    const image = await scratch.image('security');
    stream = await attributeBytes(image, '9-128-2');
    const files = await withNtfsMounted(image, ['ro'], async (mountPoint) => {
      const names = ['owned-0', 'owned-133', 'owned-399'].map((name) => `${mountPoint}/${name}`);
      return Promise.all(
        names.map(async (file) => ({
          record: statSync(file).ino,
          descriptor: await extendedAttribute(file, 'system.ntfs_acl'),
        })),
      );
    });
    known = [];
    for (const { record, descriptor } of files) {
      const [, id] = /^Security ID: (\d+)/m.exec(await recordWords(image, record)) ?? [];
      known.push({ id: Number(id), descriptor });
    }
  });
  afterAll(() => scratch?.remove());

  const find = async (bytes: Uint8Array, id: number): Promise<Buffer> =>
    Buffer.from(await new SecurityDescriptors(new BytesSource(bytes), health).find(id));

  /** Where the entry of `id` begins, in the block or in its copy. */
  const entryAt = (id: number, inCopy: boolean): number => {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(id);
    for (let at = inCopy ? COPY_BYTES : 0; ; at += 16) {
      if (stream.subarray(at + 4, at + 8).equals(key)) return at;
    }
  };

  it('are those that ntfs-3g reads, each by its number, asked for at once', async () => {
    const descriptors = new SecurityDescriptors(new BytesSource(stream), health);
    const found = await Promise.all(known.map(({ id }) => descriptors.find(id)));
    expect(new Set(known.map(({ id }) => id)).size).toBe(3);
    for (const [index, { descriptor }] of known.entries()) {
      expect(Buffer.from(found[index] as Uint8Array).equals(descriptor)).toBe(true);
    }
    expect(health.health.findings).toEqual([]);
  });

  it('come from the copy when they are damaged, wherever the damage is', async () => {
    const [, { id, descriptor }] = known as [unknown, { id: number; descriptor: Buffer }];
    for (const byte of [0, 4, 8, 16, 17, 20, 22, 60]) {
      const damaged = Buffer.from(stream);
      const at = entryAt(id, false) + byte;
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0xff, at);
      expect((await find(damaged, id)).equals(descriptor), `byte ${byte}`).toBe(true);
    }
    expect(health.health.findings).toEqual([
      expect.objectContaining({ where: { structure: '$SDS', offset: entryAt(id, false) } }),
    ]);
    const zeroed = Buffer.from(stream).fill(0, 0, 8192);
    for (const one of known) expect((await find(zeroed, one.id)).equals(one.descriptor)).toBe(true);
  });

  it('are found behind a damaged one', async () => {
    const [, { id }, { id: later, descriptor }] = known as [
      unknown,
      { id: number },
      { id: number; descriptor: Buffer },
    ];
    const damaged = Buffer.from(stream.subarray(0, COPY_BYTES));
    damaged.fill(0xff, entryAt(id, false), entryAt(id, false) + 20);
    expect((await find(damaged, later)).equals(descriptor)).toBe(true);
    await expect(find(damaged, id)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('are corrupt when both copies are, and when there never was one', async () => {
    const { id } = known[0] as { id: number };
    const damaged = Buffer.from(stream);
    for (const inCopy of [false, true]) damaged.writeUInt8(0x77, entryAt(id, inCopy) + 30);
    await expect(find(damaged, id)).rejects.toMatchObject({
      code: 'CORRUPT',
      where: { structure: '$SDS', found: '2 damaged' },
    });
    await expect(find(stream, 0xffff)).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect(find(stream, 0)).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect(find(new Uint8Array(0), 256)).rejects.toMatchObject({ code: 'CORRUPT' });
    await expect(find(new Uint8Array(300_000), 256)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('are found in a stream that claims to be longer than can be looked through', async () => {
    const { id, descriptor } = known[0] as { id: number; descriptor: Buffer };
    const far = slice(new BytesSource(stream), 0, COPY_BYTES);
    const endless: BlockSource = {
      sectorSize: 512,
      size: 2 ** 50,
      peek: () => undefined,
      close: () => far.close(),
      async readInto(target, offset) {
        target.fill(0);
        if (offset < COPY_BYTES) await far.readInto(target, offset);
      },
    };
    const descriptors = new SecurityDescriptors(endless, health);
    expect(Buffer.from(await descriptors.find(id)).equals(descriptor)).toBe(true);
    await expect(descriptors.find(0xffff)).rejects.toMatchObject({ code: 'LIMIT' });
  });

  it('are read anew after the storage failed, and that is no damage', async () => {
    const { id, descriptor } = known[0] as { id: number; descriptor: Buffer };
    const source = faulty(new BytesSource(stream), [{ times: 1 }]);
    const descriptors = new SecurityDescriptors(source, health);
    await expect(descriptors.find(id)).rejects.toMatchObject({ code: 'IO' });
    expect(Buffer.from(await descriptors.find(id)).equals(descriptor)).toBe(true);
  });
});

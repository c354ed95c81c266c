import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { comparable } from '../../../../test/fixtures/file-systems/ext-replay.ts';
import { type ListedFile, listFileSystem } from '../../../../test/fixtures/file-systems/index.ts';
import { BytesSource } from '../../../../core/index.ts';
import { openFileSystem } from '../../open.ts';
import { replayBytes } from './replay-bytes.fixture.ts';

const FOLDER = new URL('../../../../test/fixtures/file-systems/dirty/', import.meta.url);

function imageOf(name: string): Buffer {
  return gunzipSync(readFileSync(new URL(`${name}.img.gz`, FOLDER)));
}

function goldenOf(name: string): Map<string, ListedFile> {
  const { files } = JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as {
    files: Record<string, ListedFile>;
  };
  return new Map(Object.entries(files));
}

/** Where the journal's superblock lies. */
function journalAt(image: Buffer): number {
  for (let at = 0; at < image.byteLength; at += 1024) {
    if (image.readUInt32BE(at) === 0xc03b3998 && image.readUInt32BE(at + 4) === 4) return at;
  }
  throw new Error('the image has no journal');
}

const I_MODE_OF_JOURNAL = 7 * 256;
const NEEDS_RECOVERY_AT = 1024 + 0x60;

describe('a crashed volume', () => {
  it.each(['log-v3', 'log-v1', 'log-ext3', 'fast'])(
    '%s shows the files that the kernel lists after its recovery',
    async (name) => {
      const fileSystem = await openFileSystem(new BytesSource(imageOf(name)));
      expect(fileSystem.health.state).toBe('journal replayed');
      const ours = comparable(await listFileSystem(fileSystem));
      expect(ours).toEqual(comparable(goldenOf(name)));
    },
  );

  it('is not written to', async () => {
    const image = imageOf('fast');
    const before = Buffer.from(image);
    await listFileSystem(await openFileSystem(new BytesSource(image)));
    expect(image.equals(before)).toBe(true);
  });

  it('is replayed from the copy of the journal in the superblock when the inode is gone', async () => {
    const image = imageOf('log-ext3');
    const table = 1024 * image.readUInt32LE(2048 + 8);
    image.fill(0, table + I_MODE_OF_JOURNAL, table + I_MODE_OF_JOURNAL + 128);
    const fileSystem = await openFileSystem(new BytesSource(image));
    expect(fileSystem.health.state).toBe('journal replayed');
    expect(comparable(await listFileSystem(fileSystem))).toEqual(comparable(goldenOf('log-ext3')));
  });

  it('is stale when its journal is on another device', async () => {
    const image = imageOf('log-ext3');
    image.writeUInt32LE(0, 1024 + 0xe0);
    image.fill(0xab, 1024 + 0xd0, 1024 + 0xe0);
    const { health } = await replayBytes(image);
    expect(health.health.state).toBe('stale');
    expect(health.health.findings[0]?.message).toMatch(/another device/);
  });

  it('is stale when its journal has a feature that nobody knows', async () => {
    const image = imageOf('log-ext3');
    image.writeUInt32BE(0x40, journalAt(image) + 0x28);
    const { health, replayed } = await replayBytes(image);
    expect(health.health.state).toBe('stale');
    expect(health.health.findings[0]?.message).toMatch(/0x40/);
    expect(replayed.blocks).toBe(0);
  });

  it('is stale when a block in the midst of its log is damaged, whatever the log then says', async () => {
    const image = imageOf('log-ext3');
    const first = image.readUInt32BE(journalAt(image) + 0x18);
    const commit = commitOf(image, first + 1);
    image.writeUInt32BE(0, commit);
    const { health, replayed } = await replayBytes(image);
    expect(health.health.state).toBe('stale');
    expect(replayed.transactions).toBe(1);
  });

  it('is stale when its log leads outside the volume', async () => {
    const image = imageOf('log-ext3');
    const first = image.readUInt32BE(journalAt(image) + 0x18);
    image.writeUInt32BE(0x7fff_ffff, descriptorOf(image, first) + 12);
    const { health } = await replayBytes(image);
    expect(health.health.state).toBe('stale');
    expect(health.health.findings[0]?.where?.found).toBe(0x7fff_ffff);
  });

  it('is stale when its log would overwrite the journal', async () => {
    const image = imageOf('log-ext3');
    const first = image.readUInt32BE(journalAt(image) + 0x18);
    image.writeUInt32BE(journalAt(image) / 1024 + 5, descriptorOf(image, first) + 12);
    const { health } = await replayBytes(image);
    expect(health.health.state).toBe('stale');
    expect(health.health.findings[0]?.message).toMatch(/overwrite itself/);
  });
});

describe('a volume that asks for no replay', () => {
  it('keeps what its log holds to itself, and says that it holds something', async () => {
    const image = imageOf('log-ext3');
    image.writeUInt32LE(image.readUInt32LE(NEEDS_RECOVERY_AT) & ~4, NEEDS_RECOVERY_AT);
    const { health, replayed } = await replayBytes(image);
    expect(health.health.state).toBe('stale');
    expect(health.health.findings[0]?.where?.structure).toBe('s_feature_incompat');
    expect(replayed.blocks).toBe(0);
  });
});

function blockOf(image: Buffer, type: number, sequence: number): number {
  for (let at = journalAt(image); at < image.byteLength; at += 1024) {
    const isMagic = image.readUInt32BE(at) === 0xc03b3998 && image.readUInt32BE(at + 4) === type;
    if (isMagic && image.readUInt32BE(at + 8) === sequence) return at;
  }
  throw new Error(`no block of type ${type} of transaction ${sequence}`);
}

const descriptorOf = (image: Buffer, sequence: number): number => blockOf(image, 1, sequence);
const commitOf = (image: Buffer, sequence: number): number => blockOf(image, 2, sequence);

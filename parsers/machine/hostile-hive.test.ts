/** Registry hives whose lists and cells are small on the disk and endless to a reader. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type BlockSource, BytesSource, isRestoreError } from '../../core/index.ts';
import { findTool } from '../../test/fixtures/tools/index.ts';
import { writeHive } from '../../test/fixtures/volumes/index.ts';
import { Hive } from './hive.ts';

const MIB = 1024 * 1024;
const BASE = 4096;
const ROOT_CELL = 0x20;
const reason = findTool('hivexregedit') === undefined ? 'hivexregedit is not installed' : undefined;

/** A sound hive, behind which cells of a mebibyte are put. */
async function hiveWith(cells: readonly Buffer[]): Promise<{ hive: Buffer; at: number[] }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-hive-'));
  try {
    const file = path.join(folder, 'SYSTEM');
    await writeHive(file, 'MountedDevices', [{ name: '\\DosDevices\\C:', data: Buffer.alloc(12) }]);
    const sound = readFileSync(file);
    const at: number[] = [];
    let end = sound.length - BASE;
    const more = cells.map((content) => {
      at.push(end);
      const cell = Buffer.alloc(MIB);
      cell.writeInt32LE(-MIB, 0);
      content.copy(cell, 4);
      end += MIB;
      return cell;
    });
    return { hive: Buffer.concat([sound, ...more]), at };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Has the root say that these are its keys. */
function setRootKeys(hive: Buffer, count: number, cell: number): void {
  hive.writeUInt32LE(count, BASE + ROOT_CELL + 4 + 20);
  hive.writeUInt32LE(cell, BASE + ROOT_CELL + 4 + 28);
}

function listOf(mark: 'li' | 'lf' | 'ri', cell: number): Buffer {
  const list = Buffer.alloc(4 + 65_535 * (mark === 'lf' ? 8 : 4));
  list.write(mark, 'latin1');
  list.writeUInt16LE(65_535, 2);
  for (let at = 4; at < list.length; at += mark === 'lf' ? 8 : 4) list.writeUInt32LE(cell, at);
  return list;
}

function keyNode(name: string): Buffer {
  const key = Buffer.alloc(76 + name.length);
  key.write('nk', 'latin1');
  key.writeUInt16LE(0x20, 2);
  key.writeUInt16LE(name.length, 72);
  key.write(name, 76, 'latin1');
  return key;
}

/** Counts what is read. */
function counted(bytes: Uint8Array): { source: BlockSource; readBytes: () => number } {
  const inner = new BytesSource(bytes);
  let read = 0;
  const source: BlockSource = {
    ...{ size: inner.size, sectorSize: inner.sectorSize },
    readInto: async (target, offset) => {
      read += target.byteLength;
      await inner.readInto(target, offset);
    },
    peek: () => undefined,
    close: async () => undefined,
  };
  return { source, readBytes: () => read };
}

async function readMounted(hive: Buffer) {
  const { source, readBytes } = counted(hive);
  const startedMs = performance.now();
  const outcome: unknown = await Hive.open(source)
    .then((opened) => opened.values(['MountedDevices']))
    .catch((error: unknown) => error);
  return { outcome, readBytes: readBytes(), tookMs: performance.now() - startedMs };
}

describe('a hive that is hostile', () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('is read no more than it is worth: 65,535 times the same large key', async () => {
    const { hive, at } = await hiveWith([keyNode('Another'), Buffer.alloc(0)]);
    const [key = 0, list = 0] = at;
    listOf('lf', key).copy(hive, BASE + list + 4);
    setRootKeys(hive, 65_535, list);
    const { outcome, readBytes, tookMs } = await readMounted(hive);
    expect(outcome).toBeUndefined();
    expect(readBytes).toBeLessThan(300 * MIB);
    expect(tookMs).toBeLessThan(5_000);
  });

  it('is read no more than it is worth: lists of lists', async () => {
    const empty = Buffer.from([0x6c, 0x69, 0, 0]);
    const { hive, at } = await hiveWith([empty, Buffer.alloc(0)]);
    const [inner = 0, list = 0] = at;
    listOf('ri', inner).copy(hive, BASE + list + 4);
    setRootKeys(hive, 65_535, list);
    const { outcome, readBytes, tookMs } = await readMounted(hive);
    expect(isRestoreError(outcome, 'LIMIT')).toBe(true);
    expect(readBytes).toBeLessThan(300 * MIB);
    expect(tookMs).toBeLessThan(5_000);
  });

  it('does not lead in circles: a list of lists in itself', async () => {
    const { hive, at } = await hiveWith([Buffer.alloc(0)]);
    const [list = 0] = at;
    listOf('ri', list).copy(hive, BASE + list + 4);
    setRootKeys(hive, 65_535, list);
    expect(isRestoreError((await readMounted(hive)).outcome, 'CORRUPT')).toBe(true);
  });
});

/**
 * Differencing disks, built by hand after their specifications: no free tool writes them. Each
 * builder also writes what it puts on the disk into `expected`, which starts as the parent's bytes:
 * the tests compare with that. (libvhdi 20210425 is no judge here: it reads zeros in place of the
 * parent's sectors of partly held VHD blocks, and finds no parent GUID in a VHDX.)
 */
import { readFile, writeFile } from 'node:fs/promises';
import { crc32c } from '@node-rs/crc32';
import { randomBytes, seededRandom } from '../fixtures/random.ts';
import { MIB } from './image-support.ts';

const SECTOR_BYTES = 512;

/** Which sectors the child holds: about half of some blocks, all of one, none of the rest. */
function sectorChooser(seed: number): (block: number, sector: number) => boolean {
  const random = seededRandom(seed);
  const kinds = Array.from({ length: 64 }, (_, block) =>
    block < 3 ? block : Math.floor(random() * 3),
  );
  return (block, sector) => {
    const kind = kinds[block % kinds.length] as number;
    if (kind === 0) return false;
    // Long and short stretches, some not at byte borders of the bitmap.
    return kind === 1 || (sector * 2654435761) % 97 < 40 || sector % 64 < 13;
  };
}

export interface ChildOptions {
  readonly sizeBytes: number;
  readonly seed: number;
  /** As the child is to name it. */
  readonly parentName: string;
  /** The disk's content so far; the child's sectors are written into it. */
  readonly expected: Buffer;
}

/** A differencing VHD on `parent`, a VHD whose footer gives the id. */
export async function buildDifferencingVhd(
  name: string,
  parent: string,
  { sizeBytes, seed, parentName, expected }: ChildOptions,
): Promise<void> {
  const parentBytes = await readFile(parent);
  const parentFooter = parentBytes.subarray(parentBytes.length - SECTOR_BYTES);
  const blockBytes = 2 * MIB;
  const blockCount = Math.ceil(sizeBytes / blockBytes);
  const tableAt = 2048;
  const locatorAt = tableAt + Math.ceil((blockCount * 4) / 512) * 512;
  const table = Buffer.alloc(locatorAt - tableAt, 0xff);
  const parts: Buffer[] = [];
  let at = locatorAt + 512;
  const chosen = sectorChooser(seed);
  for (let block = 0; block < blockCount; block += 1) {
    const sectorCount = Math.min(blockBytes, sizeBytes - block * blockBytes) / SECTOR_BYTES;
    const held = Array.from({ length: sectorCount }, (_, sector) => chosen(block, sector));
    if (!held.includes(true)) continue;
    const bitmap = Buffer.alloc(512);
    const data = Buffer.alloc(blockBytes);
    held.forEach((here, sector) => {
      if (!here) return;
      bitmap[sector >>> 3] = (bitmap[sector >>> 3] as number) | (0x80 >>> (sector & 7));
      const content = randomBytes(SECTOR_BYTES, seed + block * 10_000 + sector);
      data.set(content, sector * SECTOR_BYTES);
      expected.set(content, block * blockBytes + sector * SECTOR_BYTES);
    });
    table.writeUInt32BE(at / 512, block * 4);
    parts.push(bitmap, data);
    at += 512 + blockBytes;
  }
  const footer = vhdFooter(sizeBytes, seed);
  const header = vhdHeader(blockCount, blockBytes, tableAt, parentFooter.subarray(68, 84));
  const path = Buffer.from(parentName, 'utf16le');
  writeVhdLocator(header, 0, path.length, locatorAt);
  header.set(Buffer.from(parentName, 'utf16le').swap16(), 64);
  vhdChecksum(header, 36);
  const locator = Buffer.alloc(512);
  path.copy(locator);
  await writeFile(
    name,
    Buffer.concat([footer, header, Buffer.alloc(512), table, locator, ...parts, footer]),
  );
}

function vhdFooter(sizeBytes: number, seed: number): Buffer {
  const footer = Buffer.alloc(512);
  footer.write('conectix', 0, 'latin1');
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x10000, 12);
  footer.writeBigUInt64BE(512n, 16);
  footer.write('win ', 28, 'latin1');
  footer.writeBigUInt64BE(BigInt(sizeBytes), 40);
  footer.writeBigUInt64BE(BigInt(sizeBytes), 48);
  footer.writeUInt32BE(4, 60);
  footer.set(randomBytes(16, seed + 99), 68);
  vhdChecksum(footer, 64);
  return footer;
}

function vhdHeader(blocks: number, blockBytes: number, tableAt: number, parentId: Buffer): Buffer {
  const header = Buffer.alloc(1024);
  header.write('cxsparse', 0, 'latin1');
  header.fill(0xff, 8, 16);
  header.writeBigUInt64BE(BigInt(tableAt), 16);
  header.writeUInt32BE(0x10000, 24);
  header.writeUInt32BE(blocks, 28);
  header.writeUInt32BE(blockBytes, 32);
  header.set(parentId, 40);
  return header;
}

function writeVhdLocator(header: Buffer, index: number, length: number, at: number): void {
  const entry = 576 + index * 24;
  header.write('W2ru', entry, 'latin1');
  header.writeUInt32BE(512, entry + 4);
  header.writeUInt32BE(length, entry + 8);
  header.writeBigUInt64BE(BigInt(at), entry + 16);
}

/** Sets the checksum of a VHD footer or header. */
export function vhdChecksum(bytes: Buffer, at: number): void {
  bytes.writeUInt32BE(0, at);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.writeUInt32BE(~sum >>> 0, at);
}

const GUIDS = {
  bat: '2DC27766F62342009D64115E9BFD4A08',
  metadata: '8B7CA20647904B9AB8FE575F050F886E',
  parameters: 'CAA16737FA364D43B3B633F0AA44E76B',
  size: '2FA54224CD1B4876B2115DBED83BF4B8',
  logicalSector: '8141BF1DA96F4709BA47F233A8FAAB5F',
  physicalSector: 'CDA348C7445D44719CC9E9885251C556',
  diskId: 'BECA12ABB2E64523 93EFC309E000C746'.replace(' ', ''),
  locator: 'A8D35F2DB30B454DABF7D3D84834AB0C',
  locatorType: 'B04AEFB7D19E4A81B78925B8E9445913',
} as const;

export interface VhdxOptions {
  readonly sizeBytes: number;
  readonly seed: number;
  readonly sectorSize: 512 | 4096;
  readonly blockBytes: number;
  /** The disk's content so far; this layer's sectors are written into it. */
  readonly expected: Buffer;
  /** Absent: a dynamic disk, all of whose blocks are there. */
  readonly parent?: { readonly file: string; readonly name: string };
}

/** A VHDX: dynamic, or differencing on a parent whose header gives the linkage GUID. */
export async function buildVhdx(name: string, options: VhdxOptions): Promise<void> {
  const { sizeBytes, seed, sectorSize, blockBytes, expected, parent } = options;
  const chunkBlocks = (2 ** 23 * sectorSize) / blockBytes;
  const blockCount = Math.ceil(sizeBytes / blockBytes);
  const chunkCount = Math.ceil(blockCount / chunkBlocks);
  const bat = Buffer.alloc(MIB);
  const blocks: Buffer[] = [];
  let at = 5 * MIB;
  const place = (data: Buffer, index: number, state: number): void => {
    bat.writeBigUInt64LE((BigInt(at / MIB) << 20n) | BigInt(state), index * 8);
    blocks.push(data);
    at += data.length;
  };
  const chosen = sectorChooser(seed);
  const bitmaps = Array.from({ length: chunkCount }, () => Buffer.alloc(MIB));
  const sectorsPerBlock = blockBytes / sectorSize;
  for (let block = 0; block < blockCount; block += 1) {
    const chunk = Math.floor(block / chunkBlocks);
    const held = Array.from(
      { length: sectorsPerBlock },
      (_, s) => parent === undefined || chosen(block, s),
    );
    if (!held.includes(true)) continue;
    const data = Buffer.alloc(blockBytes);
    held.forEach((here, sector) => {
      if (!here) return;
      const bit = (block % chunkBlocks) * sectorsPerBlock + sector;
      const bitmap = bitmaps[chunk] as Buffer;
      bitmap[bit >>> 3] = (bitmap[bit >>> 3] as number) | (1 << (bit & 7));
      const content = randomBytes(sectorSize, seed + block * 10_000 + sector);
      data.set(content, sector * sectorSize);
      const diskAt = block * blockBytes + sector * sectorSize;
      if (diskAt < sizeBytes) expected.set(content, diskAt);
    });
    place(data, block + chunk, held.includes(false) ? 7 : 6);
  }
  if (parent !== undefined) {
    bitmaps.forEach((bitmap, chunk) => place(bitmap, chunk * (chunkBlocks + 1) + chunkBlocks, 6));
  }
  const metadata = await vhdxMetadata(options);
  await writeFile(
    name,
    Buffer.concat([
      vhdxStart(seed),
      Buffer.alloc(MIB),
      metadata,
      bat,
      Buffer.alloc(MIB),
      ...blocks,
    ]),
  );
}

/** The first MiB: identifier, two headers, two region tables. */
function vhdxStart(seed: number): Buffer {
  const start = Buffer.alloc(MIB);
  start.write('vhdxfile', 0, 'latin1');
  [64, 128].forEach((kib, index) => {
    const header = start.subarray(kib * 1024, kib * 1024 + 4096);
    header.write('head', 0, 'latin1');
    header.writeBigUInt64LE(BigInt(10 + index), 8);
    header.set(randomBytes(16, seed + 1), 16);
    header.set(randomBytes(16, seed + 2), 32);
    header.writeUInt16LE(1, 66);
    header.writeUInt32LE(MIB, 68);
    header.writeBigUInt64LE(BigInt(MIB), 72);
    vhdxChecksum(header);
  });
  for (const kib of [192, 256]) {
    const table = start.subarray(kib * 1024, (kib + 64) * 1024);
    table.write('regi', 0, 'latin1');
    table.writeUInt32LE(2, 8);
    writeRegion(table, 16, GUIDS.metadata, 2 * MIB);
    writeRegion(table, 48, GUIDS.bat, 3 * MIB);
    vhdxChecksum(table);
  }
  return start;
}

function writeRegion(table: Buffer, at: number, guid: string, fileOffset: number): void {
  table.set(guidBytes(guid), at);
  table.writeBigUInt64LE(BigInt(fileOffset), at + 16);
  table.writeUInt32LE(MIB, at + 24);
  table.writeUInt32LE(1, at + 28);
}

async function vhdxMetadata({
  sizeBytes,
  seed,
  sectorSize,
  blockBytes,
  parent,
}: VhdxOptions): Promise<Buffer> {
  const u32 = (...values: number[]): Buffer => {
    const bytes = Buffer.alloc(values.length * 4);
    values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4));
    return bytes;
  };
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(sizeBytes));
  const items: [string, Buffer][] = [
    [GUIDS.parameters, u32(blockBytes, parent === undefined ? 0 : 2)],
    [GUIDS.size, size],
    [GUIDS.diskId, Buffer.from(randomBytes(16, seed + 3))],
    [GUIDS.logicalSector, u32(sectorSize)],
    [GUIDS.physicalSector, u32(4096)],
  ];
  if (parent !== undefined) items.push([GUIDS.locator, await parentLocator(parent)]);
  const region = Buffer.alloc(MIB);
  region.write('metadata', 0, 'latin1');
  region.writeUInt16LE(items.length, 10);
  let at = 64 * 1024;
  items.forEach(([guid, value], index) => {
    const entry = 32 * (index + 1);
    region.set(guidBytes(guid), entry);
    region.writeUInt32LE(at, entry + 16);
    region.writeUInt32LE(value.length, entry + 20);
    region.writeUInt32LE(4, entry + 24);
    region.set(value, at);
    at += value.length;
  });
  return region;
}

async function parentLocator({ file, name }: { file: string; name: string }): Promise<Buffer> {
  const bytes = await readFile(file);
  const headers = [bytes.subarray(65536, 69632), bytes.subarray(131072, 135168)];
  const current = headers.sort((a, b) =>
    Number(b.readBigUInt64LE(8) - a.readBigUInt64LE(8)),
  )[0] as Buffer;
  const pairs = [
    ['parent_linkage', `{${guidText(current.subarray(32, 48))}}`],
    ['relative_path', `.\\${name}`],
    ['absolute_win32_path', `C:\\Hyper-V\\${name}`],
  ];
  const texts = pairs.flat().map((text) => Buffer.from(text, 'utf16le'));
  const head = Buffer.alloc(20 + pairs.length * 12);
  head.set(guidBytes(GUIDS.locatorType), 0);
  head.writeUInt16LE(pairs.length, 18);
  let at = head.length;
  pairs.forEach((_, index) => {
    const [key, value] = [texts[index * 2] as Buffer, texts[index * 2 + 1] as Buffer];
    head.writeUInt32LE(at, 20 + index * 12);
    head.writeUInt32LE(at + key.length, 24 + index * 12);
    head.writeUInt16LE(key.length, 28 + index * 12);
    head.writeUInt16LE(value.length, 30 + index * 12);
    at += key.length + value.length;
  });
  return Buffer.concat([head, ...texts]);
}

/** Sets the checksum of a VHDX header, region table or log entry. */
export function vhdxChecksum(bytes: Buffer): void {
  bytes.writeUInt32LE(0, 4);
  bytes.writeUInt32LE(crc32c(bytes), 4);
}

function guidBytes(hex: string): Buffer {
  const raw = Buffer.from(hex, 'hex');
  raw.subarray(0, 4).reverse();
  raw.subarray(4, 6).reverse();
  raw.subarray(6, 8).reverse();
  return raw;
}

function guidText(raw: Buffer): string {
  const hex = guidBytes(raw.toString('hex')).toString('hex').toUpperCase();
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

/** An ESX sparse extent ("COWD") of half its grains, and the descriptor that names it. */
export async function buildCowd(name: string, extentName: string, seed: number): Promise<void> {
  const sectorCount = 8192 + 17;
  const tableCount = Math.ceil(sectorCount / 4096);
  const random = seededRandom(seed);
  const tables = Buffer.alloc(tableCount * 16384);
  const firstTable = 5;
  const firstGrain = firstTable + tableCount * 32;
  const grains: Uint8Array[] = [];
  for (let sector = 0; sector < sectorCount; sector += 1) {
    if (sector % 1000 < 500 || random() < 0.2) continue;
    tables.writeUInt32LE(firstGrain + grains.length, sector * 4);
    grains.push(randomBytes(SECTOR_BYTES, seed + sector));
  }
  const start = Buffer.alloc(firstTable * 512);
  start.write('COWD', 0, 'latin1');
  [1, 3, sectorCount, 1, 4, tableCount, firstGrain + grains.length].forEach((value, index) => {
    start.writeUInt32LE(value, 4 + index * 4);
  });
  for (let table = 0; table < tableCount; table += 1) {
    start.writeUInt32LE(firstTable + table * 32, 2048 + table * 4);
  }
  await writeFile(extentName, Buffer.concat([start, tables, ...grains]));
  const lines = ['# Disk DescriptorFile', 'version=1', 'CID=fffffffe', 'parentCID=ffffffff'];
  lines.push(
    'createType="vmfsSparse"',
    `RW ${sectorCount} VMFSSPARSE "${extentName.split('/').at(-1)}"`,
    '',
  );
  await writeFile(name, lines.join('\n'));
}

/** LVM2 metadata that is small on the disk and endless, or senseless, to a reader. */
import { describe, expect, it } from 'vitest';
import { type BlockSource, BytesSource, isRestoreError } from '../../../core/index.ts';
import { lvmChecksum } from './checksum.ts';
import { parseConfig } from './config-text.ts';
import { type FoundPhysicalVolume, readGroupStates } from './copies.ts';
import { parseGroup } from './group.ts';
import { assembleGroups } from './groups.ts';
import { openLogicalVolume } from './logical-volume.ts';

const MIB = 1024 * 1024;
const AREA_AT = 4096;
const ID = 'aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg';
const PV = 'pppppp-bbbb-cccc-dddd-eeee-ffff-gggggg';

interface SegmentWish {
  readonly stripes?: string;
  readonly count?: string;
  readonly stripeSize?: string;
  readonly extents?: string;
}

/** A group with one logical volume of one segment, as LVM writes it. */
function groupText({ stripes, count = '1', stripeSize, extents = '2' }: SegmentWish = {}): string {
  const size = stripeSize === undefined ? '' : `stripe_size = ${stripeSize}`;
  return `vg { id = "${ID}" seqno = 1 extent_size = 8 status = ["READ"]
    physical_volumes { pv0 { id = "${PV}" status = [] pe_start = 2048 pe_count = 100 } }
    logical_volumes { lv { id = "${ID}" status = ["VISIBLE"] segment_count = 1
      segment1 { start_extent = 0 extent_count = ${extents} type = "striped" stripe_count = ${count}
        ${size} stripes = [${stripes ?? '"pv0", 0'}] } } } }`;
}

/** A physical volume whose one area holds the text. */
function volumeWith(text: string, sizeBytes: number): Uint8Array {
  const bytes = Buffer.alloc(sizeBytes);
  const content = Buffer.from(`${text}\0`);
  const header = bytes.subarray(AREA_AT, AREA_AT + 512);
  header.write(' LVM2 x[5A%r0N*>', 4, 'latin1');
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(AREA_AT), 24);
  header.writeBigUInt64LE(BigInt(sizeBytes - AREA_AT), 32);
  header.writeBigUInt64LE(512n, 40);
  header.writeBigUInt64LE(BigInt(content.length), 48);
  header.writeUInt32LE(lvmChecksum(content), 56);
  header.writeUInt32LE(lvmChecksum(header.subarray(4)), 0);
  content.copy(bytes, AREA_AT + 512);
  return bytes;
}

function found(source: BlockSource, name: string, areas = 1): FoundPhysicalVolume {
  const area = { offset: AREA_AT, length: source.size - AREA_AT };
  const metadataAreas = Array.from({ length: areas }, () => area);
  const label = { uuid: PV, deviceBytes: source.size, metadataAreas };
  return { volume: name, disk: 'disk0', source, label };
}

/** What opening the only logical volume comes to. */
async function openWith(wish: SegmentWish): Promise<unknown> {
  try {
    const source = new BytesSource(volumeWith(groupText(wish), 2 * MIB));
    const { groups, damage } = await assembleGroups([found(source, 'disk0/p1')]);
    const [group] = groups;
    if (group === undefined) return [...damage.values()][0]?.[0]?.message ?? 'no group';
    return openLogicalVolume(group, group.state.group.logicalVolumes[0] as never).size;
  } catch (error) {
    return isRestoreError(error) ? error.code : error;
  }
}

describe('LVM2 metadata that is hostile', () => {
  it('is read once, however many partitions and labels name it', async () => {
    const bytes = volumeWith(`${groupText()}\n#${'x'.repeat(24 * MIB)}`, 32 * MIB);
    const inner = new BytesSource(bytes);
    let readBytes = 0;
    const source: BlockSource = {
      ...{ size: inner.size, sectorSize: inner.sectorSize },
      readInto: async (target, offset) => {
        readBytes += target.byteLength;
        await inner.readInto(target, offset);
      },
      peek: () => undefined,
      close: async () => undefined,
    };
    const startedMs = performance.now();
    const volumes = Array.from({ length: 256 }, (_, index) => found(source, `disk0/p${index}`, 15));
    const { states, damage } = await readGroupStates(volumes);
    expect(states).toHaveLength(1);
    expect(performance.now() - startedMs).toBeLessThan(12_000);
    expect(readBytes).toBeLessThan(600 * MIB);
    expect([...damage.values()][0]?.[0]?.message).toContain('used up');
  });

  it.each([
    ['levels', 'a {'.repeat(1_000_000)],
    ['lists in lists', `a = ${'['.repeat(1_000_000)}`],
    ['list items', `a = [${'1,'.repeat(2_000_000)}1]`],
    ['sections', Array.from({ length: 400_000 }, (_, n) => `s${n} {}`).join(' ')],
    ['comments', '#\n'.repeat(8_000_000)],
    ['quotes', `a = "${'\\"'.repeat(8_000_000)}`],
    ['one word', 'w'.repeat(16_000_000)],
  ])('ends soon with very many %s', (_, text) => {
    const startedMs = performance.now();
    let code: string | undefined;
    try {
      parseConfig(text);
    } catch (error) {
      code = isRestoreError(error) ? error.code : String(error);
    }
    expect(['CORRUPT', 'LIMIT', undefined]).toContain(code);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  it('opens what makes sense, to know that the rest is what fails', async () => {
    expect(await openWith({})).toBe(2 * 8 * 512);
    const two = { stripes: '"pv0", 0, "pv0", 50', count: '2', stripeSize: '8' };
    expect(await openWith(two)).toBe(2 * 8 * 512);
  });

  it.each<[string, SegmentWish]>([
    ['no stripe size', { stripes: '"pv0", 0, "pv0", 50', count: '2' }],
    ['a stripe size of 0', { stripes: '"pv0", 0, "pv0", 50', count: '2', stripeSize: '0' }],
    [
      'stripes that do not fit',
      { stripes: '"pv0",0,"pv0",9,"pv0",20', count: '3', stripeSize: '8' },
    ],
    ['a negative stripe size', { stripeSize: '-8' }],
    ['a segment of no extents', { extents: '0' }],
    ['a segment of 2^52 extents', { extents: '4503599627370496' }],
    ['a segment of 2^40 extents', { extents: '1099511627776' }],
    ['extents beyond the physical volume', { stripes: '"pv0", 99' }],
    ['an extent that overflows', { stripes: '"pv0", 1099511627776' }],
    ['an extent that is no number', { stripes: '"pv0", "0"' }],
    ['a negative extent', { stripes: '"pv0", -1' }],
    ['half an extent', { stripes: '"pv0", 0.5' }],
    ['a physical volume that is not there', { stripes: '"pv9", 0' }],
    ['the logical volume itself', { stripes: '"lv", 0' }],
    ['no stripes', { stripes: '' }],
    ['another count than stripes', { stripes: '"pv0", 0', count: '7' }],
  ])('does not map %s', async (_, wish) => {
    const outcome = await openWith(wish);
    expect(typeof outcome).toBe('string');
  });

  it('has names that are names', () => {
    for (const name of ['..', '.', 'x'.repeat(129)]) {
      const text = groupText().replace('vg {', `${name} {`);
      expect(() => parseGroup(text)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
    }
  });
});

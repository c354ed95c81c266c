/**
 * Volume groups that LVM's own commands make on loop devices, without device-mapper: read as `lvs`,
 * `vgs` and `pvs` report them, and byte for byte as the extents lie that `lvs` names.
 */
import { copyFileSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isRestoreError, readBytes } from '../../core/index.ts';
import { findVolumes, type MachineVolumes, type Volume } from '../../parsers/index.ts';
import { localFiles } from '../../store-writer/index.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { LvmDisks } from '../fixtures/volumes/index.ts';
import { MIB, missingTool } from './image-support.ts';

let reason = missingTool('lvm', 'losetup');
let scratch: Scratch;
let disks: LvmDisks | undefined;
beforeAll(async () => {
  if (reason !== undefined) return;
  const probe = new Scratch();
  reason = await LoopDevice.missing(probe.file('probe'));
  probe[Symbol.dispose]();
});
beforeEach((context) => {
  context.skip(reason !== undefined, reason);
  scratch = new Scratch();
});
afterEach(async () => {
  await disks?.detach();
  disks = undefined;
  scratch?.[Symbol.dispose]();
});

const QUIET = ['-an', '-Zn', '-Wn'];

async function makeDisks(count: number, ...pvcreate: readonly string[]): Promise<LvmDisks> {
  const files = Array.from({ length: count }, (_, index) => scratch.file(`disk${index}`));
  const made = await LvmDisks.create(files, 32 * MIB);
  disks = made;
  made.mark(0);
  await made.lvm('pvcreate', '-ff', '-y', ...pvcreate, ...made.devices);
  await made.lvm('vgcreate', '-s', '1M', 'vg-x', ...made.devices);
  return made;
}

async function find(files: readonly string[]): Promise<MachineVolumes> {
  const opened = await Promise.all(files.map((file) => localFiles.open(file)));
  return await findVolumes(opened.map((source, index) => ({ id: `disk${index}`, source })));
}

/** One linear volume in two pieces, a striped one, one of zeros. */
async function makeVolumes(made: LvmDisks): Promise<void> {
  await made.lvm('lvcreate', ...QUIET, '-l', '10', '-n', 'first-lv', 'vg-x');
  await made.lvm('lvcreate', ...QUIET, '-l', '9', '-i', '3', '-I', '64k', '-n', 'striped', 'vg-x');
  await made.lvm('lvextend', '-l', '+30', 'vg-x/first-lv');
  await made.lvm('lvcreate', ...QUIET, '--type', 'zero', '-l', '4', '-n', 'nothing', 'vg-x');
}

/** The bytes that a volume must have, from what `lvs` says of its segments alone. */
async function expected(made: LvmDisks, name: string): Promise<Buffer> {
  const starts = new Map<string, number>();
  for (const { pv_name = '', pe_start } of await made.report('pvs', 'pv_name,pe_start')) {
    starts.set(pv_name, Number(pe_start));
  }
  const columns = 'seg_start,segtype,stripe_size,seg_size,seg_pe_ranges';
  const rows = await made.report('lvs', columns, '--segments', `vg-x/${name}`);
  const pieces = rows
    .sort((a, b) => Number(a['seg_start']) - Number(b['seg_start']))
    .map(({ segtype, seg_pe_ranges: ranges = '', stripe_size: stripe, seg_size: size }) => {
      if (segtype === 'zero') return Buffer.alloc(Number(size));
      const members = ranges.split(' ').map((range) => memberOf(made, starts, range));
      return members.length === 1 ? (members[0] as Buffer) : weave(members, Number(stripe));
    });
  return Buffer.concat(pieces);
}

/** `/dev/loop0:3-9`: these extents, as the disks were marked. */
function memberOf(made: LvmDisks, starts: ReadonlyMap<string, number>, range: string): Buffer {
  const [, device = '', from, to] = /^(.+):(\d+)-(\d+)$/.exec(range) ?? [];
  const offset = (starts.get(device) ?? Number.NaN) + Number(from) * MIB;
  const end = offset + (Number(to) - Number(from) + 1) * MIB;
  const sectors: Buffer[] = [];
  for (let at = offset; at < end; at += 512)
    sectors.push(LvmDisks.sector(made.devices.indexOf(device), at));
  return Buffer.concat(sectors);
}

function weave(members: readonly Buffer[], stripe: number): Buffer {
  const rows: Buffer[] = [];
  for (let at = 0; at < (members[0] as Buffer).length; at += stripe) {
    for (const member of members) rows.push(member.subarray(at, at + stripe));
  }
  return Buffer.concat(rows);
}

function volumeOf({ volumes }: MachineVolumes, id: string): Volume {
  const volume = volumes.find((each) => each.id === id);
  if (volume === undefined)
    throw new Error(`no ${id} among ${volumes.map((each) => each.id).join(', ')}`);
  return volume;
}

async function contentOf(volume: Volume): Promise<Buffer> {
  const source = volume.open();
  return Buffer.from(await readBytes(source, 0, source.size));
}

function refusal(volume: Volume): unknown {
  try {
    volume.open();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('a volume group across three disks', () => {
  it('is what lvs, vgs and pvs report, and its volumes read as their extents lie', async () => {
    const made = await makeDisks(3);
    await makeVolumes(made);
    const machine = await find(made.files);
    const [group] = machine.groups;
    const [vgs] = await made.report('vgs', 'vg_name,vg_uuid,vg_seqno,vg_extent_size');
    expect(group).toMatchObject({
      ...{ name: vgs?.['vg_name'], uuid: vgs?.['vg_uuid'], findings: [] },
      ...{ sequence: Number(vgs?.['vg_seqno']), extentBytes: Number(vgs?.['vg_extent_size']) },
    });
    const pvs = await made.report('pvs', 'pv_uuid,pv_name');
    expect(group?.physicalVolumes.map(({ uuid, volumes }) => ({ uuid, volumes }))).toEqual(
      made.devices.map((device, index) => ({
        uuid: pvs.find(({ pv_name }) => pv_name === device)?.['pv_uuid'],
        volumes: [`disk${index}/p1`],
      })),
    );
    const lvs = await made.report('lvs', 'lv_name,lv_uuid,lv_size');
    expect(group?.volumes.map(({ id, uuid, length }) => ({ id, uuid, length })).sort(byId)).toEqual(
      lvs
        .map(({ lv_name, lv_uuid, lv_size }) => ({
          id: `vg-x/${lv_name}`,
          uuid: lv_uuid,
          length: Number(lv_size),
        }))
        .sort(byId),
    );
    for (const name of ['first-lv', 'striped', 'nothing']) {
      const content = await contentOf(volumeOf(machine, `vg-x/${name}`));
      const isRight = content.equals(await expected(made, name));
      expect({ name, isRight }).toEqual({ name, isRight: true });
    }
    expect(volumeOf(machine, 'vg-x/striped').disks).toEqual(['disk0', 'disk1', 'disk2']);
  });

  it('is complete where it can be when a disk is missing, and says which', async () => {
    const made = await makeDisks(3);
    await made.lvm(
      'lvcreate',
      ...QUIET,
      '-l',
      '10',
      '-n',
      'alone',
      'vg-x',
      made.devices[0] as string,
    );
    await made.lvm('lvcreate', ...QUIET, '-l', '9', '-i', '3', '-n', 'striped', 'vg-x');
    const uuid = (await made.report('pvs', 'pv_uuid,pv_name')).find(
      ({ pv_name }) => pv_name === made.devices[2],
    )?.['pv_uuid'];
    const machine = await find(made.files.slice(0, 2));
    const content = await contentOf(volumeOf(machine, 'vg-x/alone'));
    expect(content.equals(await expected(made, 'alone'))).toBe(true);
    const striped = volumeOf(machine, 'vg-x/striped');
    expect(striped).toMatchObject({ content: { kind: 'unreadable', isReadable: false } });
    expect(isRestoreError(refusal(striped), 'CORRUPT')).toBe(true);
    expect(striped.findings[0]?.message).toContain(`${uuid}`);
    expect(machine.groups[0]?.findings[0]?.message).toContain(`${uuid}`);
  });

  it('is not guessed when a physical volume is there twice', async () => {
    const made = await makeDisks(2);
    await made.lvm(
      'lvcreate',
      ...QUIET,
      '-l',
      '10',
      '-n',
      'one',
      'vg-x',
      made.devices[0] as string,
    );
    await made.lvm(
      'lvcreate',
      ...QUIET,
      '-l',
      '10',
      '-n',
      'other',
      'vg-x',
      made.devices[1] as string,
    );
    copyFileSync(made.files[0] as string, scratch.file('copy'));
    const machine = await find([...made.files, scratch.file('copy')]);
    expect(isRestoreError(refusal(volumeOf(machine, 'vg-x/one')), 'CORRUPT')).toBe(true);
    expect(volumeOf(machine, 'vg-x/one').findings[0]?.message).toContain('disk0/p1 and disk2/p1');
    expect(refusal(volumeOf(machine, 'vg-x/other'))).toBeUndefined();
  });

  it('does not clash with another machine of the same names and identifiers', async () => {
    const made = await makeDisks(2);
    await makeOne(made);
    const copies = made.files.map((file, index) => {
      copyFileSync(file, scratch.file(`copy${index}`));
      return scratch.file(`copy${index}`);
    });
    const target = openSync(copies[0] as string, 'r+');
    writeSync(target, 'another machine', 0, 'latin1');
    const [one, two] = [await find(made.files), await find(copies)];
    const contents = [one, two].map((machine) => contentOf(volumeOf(machine, 'vg-x/one')));
    const [first, second] = await Promise.all(contents);
    expect(first?.equals(second as Buffer)).toBe(true);
    expect(two.groups[0]?.findings).toEqual([]);
  });

  it('is the newest state where one disk still has an older one', async () => {
    const made = await makeDisks(2);
    const old = readFileSync(made.files[1] as string);
    await makeOne(made);
    writeFileSync(made.files[1] as string, old);
    const machine = await find(made.files);
    expect(machine.groups[0]?.volumes).toHaveLength(1);
    expect(machine.groups[0]?.findings[0]?.message).toMatch(/older metadata .* on disk1\/p1/);
  });

  it.each([
    ['the text', 4096 + 512 + 100, 'metadata area'],
    ['the header of the area', 4096 + 20, 'metadata area'],
    ['the label', 512 + 40, 'label'],
  ])('tells of damage in %s and reads another copy', async (_, offset, where) => {
    const made = await makeDisks(2);
    await makeOne(made);
    // Text is at another place after each change: fill the whole first half of the area.
    const target = openSync(made.files[0] as string, 'r+');
    const length = offset > 4096 + 512 ? 60_000 : 1;
    writeSync(target, Buffer.alloc(length, 0x55), 0, length, offset);
    const machine = await find(made.files);
    expect(volumeOf(machine, 'disk0/p1').findings[0]?.message).toContain(where);
    expect(machine.groups[0]?.volumes).toHaveLength(1);
    const isOpen = refusal(volumeOf(machine, 'vg-x/one')) === undefined;
    expect(isOpen).toBe(where !== 'label');
  });
});

async function makeOne(made: LvmDisks): Promise<void> {
  await made.lvm('lvcreate', ...QUIET, '-l', '10', '-n', 'one', 'vg-x', made.devices[0] as string);
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : 1;
}

describe('a name', () => {
  it('that a disk has already does not hide the disk', async () => {
    const made = await makeDisks(1);
    await makeOne(made);
    await made.lvm('vgrename', 'vg-x', 'disk0');
    await made.lvm('lvrename', 'disk0', 'one', 'p1');
    const machine = await find(made.files);
    const [group] = machine.groups;
    expect(machine.volumes.map(({ id }) => id)).toEqual(['disk0/p1', `${group?.uuid}/p1`]);
    expect(group?.volumes[0]?.name).toBe('disk0/p1');
  });

  it('that two groups of the machine have is told apart by their identifiers', async () => {
    const made = await makeDisks(1);
    await makeOne(made);
    const other = scratch.file('other');
    copyFileSync(made.files[0] as string, other);
    await made.lvm('vgchange', '--uuid', 'vg-x');
    await made.lvm('pvchange', '--uuid', made.devices[0] as string);
    const machine = await find([...made.files, other]);
    const ids = machine.groups.map(({ uuid }) => `${uuid}/one`);
    expect(new Set(ids).size).toBe(2);
    expect(machine.groups.flatMap(({ volumes }) => volumes.map(({ id }) => id))).toEqual(ids);
    for (const id of ids) expect(refusal(volumeOf(machine, id))).toBeUndefined();
  });
});

describe('a metadata area', () => {
  it('is right after each of 150 rewrites, around the end of its circular buffer', {
    timeout: 180_000,
  }, async () => {
    const made = await makeDisks(2, '--metadatasize', '60k', '--dataalignment', '64k');
    await makeOne(made);
    let wrapped = 0;
    let split = 0;
    let before = 0;
    for (let round = 0; round < 150; round += 1) {
      await made.lvm(
        'vgchange',
        '--addtag',
        `tag-of-some-length-to-fill-the-buffer-${round % 30}`,
        'vg-x',
      );
      if (round % 30 === 29) {
        const tags = Array.from({ length: 29 }, (_, index) => [
          '--deltag',
          `tag-of-some-length-to-fill-the-buffer-${index}`,
        ]);
        await made.lvm('vgchange', ...tags.flat(), 'vg-x');
      }
      const dump = await made.lvm('pvck', '--dump', 'headers', made.devices[0] as string);
      const number = (name: string): number => Number(new RegExp(`${name} (\\d+)`).exec(dump)?.[1]);
      const [offset, size] = [
        number('mda_header_1.raw_locn\\[0\\].offset'),
        number('mda_header_1.raw_locn\\[0\\].size'),
      ];
      const area = number('mda_header_1.size');
      if (offset < before) wrapped += 1;
      if (offset + size > area) split += 1;
      before = offset;
      const machine = await find(made.files);
      const sequence = Number(/seqno (\d+)/.exec(dump)?.[1]);
      expect(machine.groups[0]).toMatchObject({ sequence, findings: [] });
      expect(machine.volumes.flatMap(({ findings }) => findings)).toEqual([]);
    }
    expect(wrapped).toBeGreaterThan(0);
    expect(split).toBeGreaterThan(0);
  });
});

/** Kinds that lvcreate makes with device-mapper only: written by vgcfgrestore from an edited backup. */
describe('a logical volume of a kind that is not read', () => {
  const KINDS = [
    ['thin', `type = "thin"\ntransaction_id = 0\ndevice_id = 1\nthin_pool = "pool"`],
    ['snapshot', ''],
    ['error', 'type = "error"'],
  ] as const;

  it.each(KINDS)('is named: %s', async (kind, segment) => {
    const made = await makeDisks(1);
    await makeOne(made);
    await made.lvm('lvcreate', ...QUIET, '-l', '5', '-n', 'odd', 'vg-x');
    const backup = scratch.file('backup');
    await made.lvm('vgcfgbackup', '-f', backup, 'vg-x');
    const text = readFileSync(backup, 'utf8');
    writeFileSync(backup, edited(text, kind, segment));
    await made.lvm('vgcfgrestore', '--force', '-y', '-f', backup, 'vg-x');
    const machine = await find(made.files);
    const volume = volumeOf(machine, 'vg-x/odd');
    expect(volume.content).toMatchObject({ kind: 'unreadable', type: `LVM ${kind}` });
    expect(isRestoreError(refusal(volume), 'UNSUPPORTED')).toBe(true);
    expect(refusal(volumeOf(machine, 'vg-x/one'))).toBeUndefined();
  });

  function edited(text: string, kind: string, segment: string): string {
    const at = text.indexOf('odd {');
    const [head, tail] = [text.slice(0, at), text.slice(at)];
    if (kind === 'snapshot') {
      const added = `snapshot0 {\nid = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"\nstatus = ["READ", "WRITE"]\nflags = []\nsegment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 10\ntype = "snapshot"\nchunk_size = 8\norigin = "one"\ncow_store = "odd"\n}\n}\n`;
      return head + added + tail;
    }
    const type = /type = "striped"[^}]*?stripes = \[[^\]]*\]/s;
    const pool = `pool {\nid = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"\nstatus = ["READ", "WRITE"]\nflags = []\nsegment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 1\ntype = "thin-pool"\nmetadata = "pool_tmeta"\npool = "pool_tdata"\ntransaction_id = 1\nchunk_size = 128\ndiscards = "passdown"\nzero_new_blocks = 1\n}\n}\n${['pool_tmeta', 'pool_tdata'].map((name, index) => `${name} {\nid = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-ggggg${index}"\nstatus = ["READ", "WRITE"]\nflags = []\nsegment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 1\ntype = "striped"\nstripe_count = 1\nstripes = [\n"pv0", ${25 + index}\n]\n}\n}\n`).join('')}`;
    return head + (kind === 'thin' ? pool : '') + tail.replace(type, segment);
  }
});

/** `/etc/fstab` and `/etc/crypttab` of a root that somebody wrote to keep a reader busy. */
import { describe, expect, it } from 'vitest';
import { zeroSource } from '../../core/index.ts';
import type { MachineVolumes, Volume } from '../volume/model.ts';
import { isOwnRoot, linuxPlaces } from './linux-places.ts';

const MIB = 1024 * 1024;
/** A machine of one volume takes a millisecond; all of it must fit into a call of 10 s many times over. */
const BUSY_MS_MAX = 1_000;

function volume(id: string, label: string): Volume {
  return {
    ...{ id, kind: 'partition', disks: ['disk0'], name: '', uuid: '', length: 0, findings: [] },
    content: { kind: 'file system', type: 'ext4', label, uuid: '', isReadable: true },
    open: () => zeroSource(0),
  };
}

const ROOT = volume('disk0/p1', 'root');
const DATA = volume('disk0/p2', 'data');

function machineOf(volumes: readonly Volume[]): MachineVolumes {
  return { disks: [], groups: [], volumes };
}

const LINES = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n');

/** What a root says, and what that comes to; with the time that it took. */
function look(fstab: string, crypttab = '', volumes: readonly Volume[] = [ROOT, DATA]) {
  const startedMs = performance.now();
  const root = { volume: ROOT, fstab, crypttab };
  isOwnRoot(root, machineOf(volumes));
  const places = linuxPlaces(root, machineOf(volumes));
  const told = JSON.stringify(places).length;
  return { places, told, tookMs: performance.now() - startedMs };
}

describe('a table of mounts that is hostile', () => {
  const END = '\nLABEL=data /data ext4 defaults';
  it.each([
    ['slashes before a name', `LABEL=data ${'/'.repeat(MIB - 100)}x ext4 defaults${END}`],
    ['slashes in an option', `LABEL=data /x btrfs subvol=${'/'.repeat(MIB - 100)}x${END}`],
    ['slashes and nothing else', `LABEL=data ${'/'.repeat(MIB - 100)} ext4 defaults${END}`],
    ['a path of half a million levels', `LABEL=data ${'/a'.repeat(MIB / 2 - 100)} ext4${END}`],
    ['very many long paths', LINES(250, (n) => `LABEL=data /${n}${'/a'.repeat(2000)} ext4`)],
    ['a name of one MiB', `LABEL=${'x'.repeat(MIB - 100)} /y ext4 defaults${END}`],
    ['blanks', `${' '.repeat(MIB - 100)}x`],
    ['quotes', `LABEL="${'"'.repeat(MIB - 100)}x /q ext4`],
    ['escapes', `LABEL=data /${'\\057'.repeat(MIB / 4 - 100)}x ext4`],
    ['dashes', `/dev/mapper/${'a-'.repeat(MIB / 2 - 100)} /d ext4`],
  ])('does not keep its reader busy: %s', (_, fstab) => {
    const { places, told, tookMs } = look(fstab);
    expect(tookMs).toBeLessThan(BUSY_MS_MAX);
    expect(told).toBeLessThan(256 * 1024);
    expect(places.mounts.length).toBeGreaterThan(0);
    for (const { at } of places.mounts) expect(at.split('/').length).toBeLessThan(70);
  });

  it('is as short in what it tells with 10,000 lines that all fit 10,000 volumes', () => {
    const many = Array.from({ length: 10_000 }, (_, n) => volume(`disk0/p${n}`, 'same'));
    const { told, tookMs } = look(
      LINES(10_000, (n) => `LABEL=same /m${n} ext4`),
      '',
      many,
    );
    expect(tookMs).toBeLessThan(5 * BUSY_MS_MAX);
    expect(told).toBeLessThan(1024 * 1024);
  });

  it('is as quick with 10,000 lines about 10,000 encrypted devices', () => {
    const fstab = LINES(10_000, (n) => `/dev/mapper/none${n} /m${n} ext4`);
    const { places, tookMs } = look(
      fstab,
      LINES(10_000, (n) => `crypt${n} /dev/gone${n} none`),
    );
    expect(tookMs).toBeLessThan(5 * BUSY_MS_MAX);
    expect(places.unplaced).toHaveLength(1000);
    expect(places.findings[0]?.message).toContain('9000 more lines');
  });

  it('leads nowhere with mounts on each other, and in circles', () => {
    const { places } = look(
      [
        'LABEL=root / ext4',
        'LABEL=data / ext4',
        '/a /b none bind',
        '/b /a none bind',
        'LABEL=data /b/../.. ext4',
        'LABEL=data //x//y// ext4',
      ].join('\n'),
    );
    expect(places.mounts.map(({ at, volume: id }) => [at, id])).toEqual([
      ['/', 'disk0/p2'],
      ['//x//y', 'disk0/p2'],
      ['/b/../..', 'disk0/p2'],
    ]);
    expect(places.unplaced.map(({ at }) => at)).toEqual(['/b', '/a']);
  });
});

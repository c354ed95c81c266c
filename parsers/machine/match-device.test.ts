import { beforeEach, describe, expect, it } from 'vitest';
import { zeroSource } from '../../core/index.ts';
import { findTool, run } from '../../test/fixtures/tools/index.ts';
import type { MachineVolumes, Volume } from '../volume/model.ts';
import { matchDevice } from './match-device.ts';

const reason = findTool('dmsetup') === undefined ? 'dmsetup is not installed' : undefined;

function logical(name: string): Volume {
  return {
    ...{
      id: name,
      kind: 'logical volume',
      disks: ['disk0'],
      name,
      uuid: '',
      length: 0,
      findings: [],
    },
    content: { kind: 'file system', type: 'ext4', label: '', uuid: '', isReadable: true },
    open: () => zeroSource(0),
  };
}

describe('a device-mapper name', () => {
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it.each(['vg-lv', 'vg--a-lv', 'vg-lv--b', 'a--b--c-d--e', 'vg---lv', 'x----y-z', 'v.1-l_2'])(
    '%s is taken apart as dmsetup does',
    async (name) => {
      const args = ['splitname', '--noheadings', '--separator', '/', '-o', 'vg_name,lv_name'];
      const { stdout } = await run('dmsetup', [...args, name, 'LVM']);
      const theirs = stdout.trim();
      const machine: MachineVolumes = {
        disks: [],
        groups: [],
        volumes: [logical(theirs), logical('other/lv')],
      };
      expect(matchDevice(`/dev/mapper/${name}`, machine, []).volume?.id).toBe(theirs);
      expect(matchDevice(`/dev/${theirs}`, machine, []).volume?.id).toBe(theirs);
    },
  );
});

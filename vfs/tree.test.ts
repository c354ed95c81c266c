import { describe, expect, it } from 'vitest';
import { RestoreError } from '../core/index.ts';
import type { Mount, VolumeHandle } from './place.ts';
import { resolvePath } from './resolve.ts';
import { SyntheticDirectories } from './synthetic.ts';
import { Tree } from './tree.ts';
import { walk } from './walk.ts';

/** A volume that holds these directories. */
function volume(id: string, ...paths: readonly string[]): VolumeHandle {
  const opened = { id, fileSystem: new SyntheticDirectories(paths) };
  return { id, open: () => Promise.resolve(opened) };
}

const broken: VolumeHandle = {
  id: 'broken',
  open: () => Promise.reject(new RestoreError('CORRUPT', 'its superblock is damaged')),
};

async function namesOf(tree: Tree, path: string): Promise<string[]> {
  const { place } = await resolvePath(tree, path);
  const names: string[] = [];
  for await (const batch of tree.list(place, { attributes: true })) {
    for (const { name } of batch) names.push(name);
  }
  return names.sort();
}

async function volumeAt(tree: Tree, path: string): Promise<string> {
  return (await resolvePath(tree, path)).place.volume.id;
}

describe('a tree of volumes', () => {
  const mounts: readonly Mount[] = [
    { at: '/', volume: volume('root', 'etc', 'var/lib', 'srv/hidden') },
    { at: '/var', volume: volume('var', 'log', 'lib/own') },
    { at: '/var/lib', volume: volume('lib', 'sql') },
    { at: '/srv', volume: volume('srv', 'shown') },
    { at: '/mnt/usb/stick', volume: volume('stick', 'files') },
  ];

  it('shows each volume at its place, and what it covers nowhere', async () => {
    const tree = new Tree(mounts);
    expect(await namesOf(tree, '/')).toEqual(['etc', 'mnt', 'srv', 'var']);
    expect(await namesOf(tree, '/srv')).toEqual(['shown']);
    expect(await namesOf(tree, '/var')).toEqual(['lib', 'log']);
    expect(await namesOf(tree, '/var/lib')).toEqual(['sql']);
    expect(await volumeAt(tree, '/etc')).toBe('root');
    expect(await volumeAt(tree, '/var/lib/sql')).toBe('lib');
    expect(await volumeAt(tree, '/var/lib/sql/../../log')).toBe('var');
    await expect(resolvePath(tree, '/var/lib/own')).rejects.toThrow(/no .*own/);
  });

  it('leads to mount points whose directories are missing', async () => {
    const tree = new Tree(mounts);
    expect(await namesOf(tree, '/mnt')).toEqual(['usb']);
    expect(await namesOf(tree, '/mnt/usb')).toEqual(['stick']);
    expect(await namesOf(tree, '/mnt/usb/stick')).toEqual(['files']);
    expect((await resolvePath(tree, '/mnt/usb/stick/files')).place.path).toBe(
      '/mnt/usb/stick/files',
    );
  });

  it('walks over all of them, or stays on one', async () => {
    const tree = new Tree(mounts);
    const visit = async (oneVolume: boolean): Promise<string[]> => {
      const paths: string[] = [];
      const options = { sorted: true, oneVolume };
      for await (const { directory } of walk(tree, await tree.root(), options)) {
        paths.push(directory.path);
      }
      return paths;
    };
    expect(await visit(false)).toEqual([
      ...['/', '/etc', '/mnt', '/mnt/usb', '/mnt/usb/stick', '/mnt/usb/stick/files'],
      ...['/srv', '/srv/shown', '/var', '/var/lib', '/var/lib/sql', '/var/log'],
    ]);
    expect(await visit(true)).toEqual(['/', '/etc', '/mnt', '/mnt/usb']);
  });

  it('finds drive letters in either case, and names them as they are', async () => {
    const tree = new Tree([
      { at: '/C:', volume: volume('system', 'Users') },
      { at: '/D:', volume: volume('data', 'Data') },
    ]);
    expect(await namesOf(tree, '/')).toEqual(['C:', 'D:']);
    const { place } = await resolvePath(tree, '/c:/Users');
    expect([place.path, place.volume.id]).toEqual(['/C:/Users', 'system']);
  });

  it('tells of a volume that does not open where it is, and shows the rest', async () => {
    const [root] = mounts;
    const tree = new Tree([root as Mount, { at: '/srv', volume: broken }]);
    const errors: (string | undefined)[] = [];
    const visited: string[] = [];
    for await (const step of walk(tree, await tree.root(), { attributes: true, sorted: true })) {
      if (step.isEntered) visited.push(step.directory.path);
      if (step.error !== undefined) errors.push(step.error.code);
    }
    expect(visited).toEqual(['/', '/etc', '/var', '/var/lib']);
    expect(errors).toEqual(['CORRUPT']);
    await expect(resolvePath(tree, '/srv/shown')).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  it('sorts no more entries than it may hold, and says from where on', async () => {
    const names = ['f', 'b', 'e', 'a', 'd', 'c'];
    const tree = new Tree([
      { at: '/', volume: volume('root', 'many') },
      ...names.map((name) => ({ at: `/many/${name}`, volume: volume(name, 'inside') })),
    ]);
    const { place } = await resolvePath(tree, '/many');
    for (const sortedMax of [2, 6]) {
      const seen: string[] = [];
      let unsorted = 0;
      for await (const step of walk(tree, place, { sorted: true, sortedMax, depthMax: 0 })) {
        if (step.isUnsorted === true) unsorted += 1;
        seen.push(...step.entries.map(({ name }) => name));
      }
      expect(seen.toSorted()).toEqual(names.toSorted());
      expect(unsorted).toBe(sortedMax < names.length ? 1 : 0);
    }
  });

  it('ends paths that are too deep', async () => {
    const tree = new Tree([{ at: '/', volume: volume('deep', 'a/'.repeat(2_000)) }]);
    await expect(resolvePath(tree, '/a'.repeat(1_500))).rejects.toMatchObject({ code: 'LIMIT' });
    let steps = 0;
    const codes = new Set<string>();
    for await (const { error } of walk(tree, await tree.root())) {
      steps += 1;
      if (error !== undefined) codes.add(error.code);
    }
    expect(steps).toBeLessThan(1_100);
    expect([...codes]).toEqual(['LIMIT']);
  });
});

/** ext volumes by chance, within what mke2fs and the kernel take. */
import type { Random } from '../../fixtures/disks/random.ts';
import { run } from '../../fixtures/tools/index.ts';
import type { Abilities } from './work.ts';

const MIB = 1024 * 1024;

export interface RandomExt {
  readonly sizeBytes: number;
  readonly mkfs: readonly string[];
  readonly can: Abilities;
}

const FEATURES = [
  'extents',
  '64bit',
  'metadata_csum',
  'metadata_csum_seed',
  'flex_bg',
  'meta_bg',
  'inline_data',
  'inline_data',
  'ea_inode',
  'large_dir',
  'dir_index',
  'dir_nlink',
  'extra_isize',
  'filetype',
  'huge_file',
  'large_file',
  'sparse_super',
  'sparse_super2',
  'uninit_bg',
  'quota',
  'project',
  'orphan_file',
  'fast_commit',
  'resize_inode',
  'stable_inodes',
  'verity',
  'encrypt',
  'ext_attr',
  'mmp',
] as const;

/** Half of what chance gives here, mke2fs or the kernel refuse: draw again. */
export function randomExt(random: Random, journaled = false): RandomExt {
  const kind = random.pick(['ext2', 'ext3', 'ext4', 'ext4', 'ext4', 'ext4']);
  const type = journaled && kind === 'ext2' ? 'ext4' : kind;
  const blockBytes = random.pick([1024, 1024, 2048, 4096, 4096]);
  const inodeBytes = random.pick([128, 256, 256, 256, 512, 1024, blockBytes]);
  const isClustered = type === 'ext4' && random.below(6) === 0;
  const clusterBytes = blockBytes * 2 ** random.between(1, 6);
  const features = type === 'ext4' ? randomFeatures(random) : random.pick([[], ['^dir_index']]);
  const sizeBytes = (isClustered ? 128 : random.pick([12, 20, 33, 64, 100])) * MIB;
  const clustered = isClustered ? ['bigalloc', 'extents'] : [];
  const all = [...features, ...clustered, ...(journaled ? ['has_journal'] : [])];
  const mkfs = [
    ...['-t', type, '-b', String(blockBytes), '-I', String(Math.min(inodeBytes, blockBytes))],
    ...(all.length === 0 ? [] : ['-O', all.join(',')]),
    ...(isClustered ? ['-C', String(clusterBytes)] : []),
    ...(random.below(4) === 0 && !isClustered
      ? ['-g', String(8 * random.pick([64, 128, 256, blockBytes / 2]))]
      : []),
    ...(random.below(4) === 0 ? ['-G', String(2 ** random.below(6))] : []),
    ...(random.below(4) === 0 ? ['-N', String(random.pick([100, 2000, 5000]))] : []),
    ...(random.below(6) === 0 ? ['-E', 'lazy_itable_init=1,packed_meta_blocks=1'] : []),
    ...['-J', `size=${random.pick([4, 4, 5])}`].slice(type === 'ext2' || isWithout(all) ? 2 : 0),
  ];
  return {
    sizeBytes,
    mkfs,
    can: {
      names: 'bytes',
      blockBytes: isClustered && random.below(2) === 0 ? clusterBytes : blockBytes,
      reachBytes: random.pick([50_000_000, 2 ** 31, 2 ** 33, 2 ** 34 - 2 ** 26]),
      isPosix: true,
      isKernel: true,
      hasHardLinks: true,
      isFillable: true,
      times: inodeBytes > 128 ? [-(2 ** 31), 2 ** 34 - 2 ** 31 - 1] : [-(2 ** 31), 2 ** 31 - 1],
      unitNanoseconds: 1,
    },
  };
}

const isWithout = (features: readonly string[]): boolean => features.includes('^has_journal');

function randomFeatures(random: Random): string[] {
  const count = random.pick([0, 1, 2, 3, 5, 8]);
  const drawn = new Set(Array.from({ length: count }, () => random.pick(FEATURES)));
  const features = [...drawn].map((name) => (random.below(5) < 2 ? `^${name}` : name));
  if (features.includes('meta_bg')) features.push('^resize_inode');
  if (features.includes('project')) features.push('quota');
  if (random.below(8) === 0) features.push('^has_journal');
  return features;
}

/** Changes of a volume that its owner can make while it is not mounted; some are refused. */
export async function overhaulExt(random: Random, image: string): Promise<string> {
  const sizeMib = random.between(8, 140);
  const change = random.pick([
    [],
    [],
    ['tune2fs', '-f', '-U', 'random', image],
    [
      'tune2fs',
      '-f',
      '-O',
      random.pick(['^metadata_csum', 'metadata_csum', '64bit', 'quota']),
      image,
    ],
    ['tune2fs', '-f', '-I', String(random.pick([256, 512])), image],
    [
      'tune2fs',
      '-f',
      '-O',
      random.pick(['^dir_index', 'ea_inode', 'large_dir', '^has_journal']),
      image,
    ],
    ['e2fsck', '-f', '-y', '-D', image],
    ['e2fsck', '-f', '-y', '-E', 'bmap2extent', image],
    ['resize2fs', '-f', image, `${sizeMib}M`],
    ['resize2fs', '-f', '-b', image],
    ['resize2fs', '-f', '-s', image],
  ]);
  const [tool, ...args] = change;
  if (tool === undefined) return 'none';
  await run('e2fsck', ['-f', '-y', image], { accept: [0, 1, 2] });
  const { exitCode } = await run(tool, args, { accept: [0, 1, 2, 3, 4, 8, -1] });
  await run('e2fsck', ['-f', '-y', image], { accept: [0, 1, 2] });
  return `${change.slice(0, -1).join(' ')}: ${exitCode}`;
}

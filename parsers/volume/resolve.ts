import { nearest, RestoreError } from '../../core/index.ts';
import type { MachineVolumes, Volume } from './model.ts';

/** The two parts of an address that name a volume. `disk` may be a volume group: `vg/lv`. */
export interface VolumeWish {
  readonly disk?: string | undefined;
  readonly volume?: string | undefined;
}

/** Where the machine itself has a volume: `C:`. */
export interface VolumeAt {
  readonly at: string;
  /** Id of the volume. */
  readonly volume: string;
}

type Rule = (volume: Volume, text: string, places: readonly VolumeAt[]) => boolean;

/** How a volume may be named, in order: the first rule that fits any volume decides. */
const RULES: readonly Rule[] = [
  ({ id }, text) => id === text,
  ({ id }, text) => id.endsWith(`/${text}`),
  ({ number }, text) => number !== undefined && (text === `${number}` || text === `p${number}`),
  ({ name }, text) => name === text,
  ({ id }, text, places) => places.some(({ at, volume }) => volume === id && isLetter(at, text)),
  ({ content }, text) => content.label === text,
  ({ content, uuid }, text) => [content.uuid, uuid].some((each) => alike(each, text)),
  ({ content, name, id }, text) => [content.label, name, id].some((each) => alike(each, text)),
];

const LISTED_MAX = 30;

/**
 * The volume that a person means: by id, number, `p2`, `vg/lv`, name, drive letter, label or UUID. A
 * disk with one volume needs no more than the disk; a machine with one volume needs nothing.
 *
 * @param places drive letters, as `placeVolumes` found them.
 * @throws RestoreError `NOT_FOUND` naming what there is, `INVALID` naming the candidates when several
 *   fit.
 */
export function resolveVolume(
  machine: MachineVolumes,
  wish: VolumeWish,
  places: readonly VolumeAt[] = [],
): Volume {
  const isDisk = machine.disks.some(({ id }) => id === wish.disk);
  const scope = isDisk
    ? machine.volumes.filter(({ disks }) => disks.includes(wish.disk ?? ''))
    : machine.volumes;
  const parts = isDisk ? [wish.volume] : [wish.disk, wish.volume];
  const text = parts.filter((part) => part !== undefined).join('/');
  if (text === '') return onlyOne(scope, isDisk ? `the disk ${wish.disk}` : 'the machine');
  for (const rule of RULES) {
    const [first, ...others] = scope.filter((volume) => rule(volume, text, places));
    if (first === undefined) continue;
    if (others.length > 0) throw ambiguous(text, [first, ...others]);
    return first;
  }
  throw notThere(text, scope);
}

function onlyOne(scope: readonly Volume[], where: string): Volume {
  const [first, ...others] = scope;
  if (first !== undefined && others.length === 0) return first;
  if (first === undefined) {
    throw new RestoreError('NOT_FOUND', `there is no volume on ${where}`);
  }
  throw new RestoreError('INVALID', `${where} has several volumes: say which`, {
    where: { expected: 'a volume', found: 'none' },
    hint: `There are ${listOf(scope)}.`,
  });
}

function ambiguous(text: string, fitting: readonly Volume[]): RestoreError {
  return new RestoreError('INVALID', 'several volumes are called that', {
    where: { found: text },
    hint: `Use one of their ids: ${listOf(fitting)}.`,
  });
}

function notThere(text: string, scope: readonly Volume[]): RestoreError {
  const names = scope.flatMap(({ id, name, content }) => [id, name, content.label]);
  const near = nearest(
    text,
    names.filter((name) => name !== ''),
    1,
  );
  const guess = near.length === 0 ? '' : `Did you mean ${near[0]}? `;
  const list = scope.length === 0 ? 'There are no volumes.' : `There are ${listOf(scope)}.`;
  return new RestoreError('NOT_FOUND', 'no volume is called that', {
    where: { found: text },
    hint: `${guess}${list}`,
  });
}

function listOf(volumes: readonly Volume[]): string {
  const shown = volumes.slice(0, LISTED_MAX).map(({ id, content }) => {
    const words = [content.type, content.label].filter((word) => word !== '');
    return words.length === 0 ? id : `${id} (${words.join(' ')})`;
  });
  const rest = volumes.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

function isLetter(at: string, text: string): boolean {
  return /^[a-z]:$/i.test(at) && alike(at.slice(0, 1), text.replace(/:$/, ''));
}

function alike(value: string, text: string): boolean {
  return value !== '' && value.toLowerCase() === text.toLowerCase();
}

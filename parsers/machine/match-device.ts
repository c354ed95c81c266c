import type { MachineVolumes, Volume } from '../volume/model.ts';
import type { CrypttabEntry } from './crypttab.ts';

/** What a device name of Linux means on this machine. */
export type DeviceMatch =
  | { readonly volume: Volume; readonly how: string }
  | { readonly volume: undefined; readonly why: string };

type Finder = (value: string, machine: MachineVolumes) => readonly Volume[];

const alike = (left: string, right: string): boolean =>
  left !== '' && left.length === right.length && left.toLowerCase() === right.toLowerCase();
/** Of several volumes that fit, so many are named. */
const NAMED_MAX = 5;
const MAPPER = '/dev/mapper/';
/** Members of RAID and LVM have identifiers too, but nothing that could be mounted. */
const byContent =
  (fits: (volume: Volume, value: string) => boolean): Finder =>
  (value, { volumes }) =>
    volumes.filter((volume) => fits(volume, value));

const byUuid = byContent(({ content }, value) => alike(content.uuid, value));
const byLabel = byContent(({ content }, value) => value !== '' && content.label === value);
const byPartUuid = byContent(({ kind, uuid }, value) => kind === 'partition' && alike(uuid, value));
const byPartLabel = byContent(
  ({ kind, name }, value) => kind === 'partition' && value !== '' && name === value,
);
const byLogical = byContent(({ kind, name }, value) => kind === 'logical volume' && name === value);

/** How devices are named in fstab(5), in the order in which they are tried. */
const RULES: readonly { readonly pattern: RegExp; readonly find: Finder; readonly how: string }[] =
  [
    { pattern: /^UUID=(.*)$/s, find: byUuid, how: 'by UUID' },
    { pattern: /^LABEL=(.*)$/s, find: byLabel, how: 'by label' },
    { pattern: /^PARTUUID=(.*)$/s, find: byPartUuid, how: 'by PARTUUID' },
    { pattern: /^PARTLABEL=(.*)$/s, find: byPartLabel, how: 'by PARTLABEL' },
    { pattern: /^\/dev\/disk\/by-uuid\/(.*)$/s, find: byUuid, how: 'by UUID' },
    { pattern: /^\/dev\/disk\/by-label\/(.*)$/s, find: byLabel, how: 'by label' },
    { pattern: /^\/dev\/disk\/by-partuuid\/(.*)$/s, find: byPartUuid, how: 'by PARTUUID' },
    { pattern: /^\/dev\/disk\/by-partlabel\/(.*)$/s, find: byPartLabel, how: 'by PARTLABEL' },
    { pattern: /^\/dev\/mapper\/(.*)$/s, find: byMapperName, how: 'by logical volume' },
    {
      pattern: /^\/dev\/disk\/by-id\/dm-name-(.*)$/s,
      find: byMapperName,
      how: 'by logical volume',
    },
    {
      pattern: /^\/dev\/disk\/by-id\/dm-uuid-LVM-(.*)$/s,
      find: byMapperUuid,
      how: 'by logical volume',
    },
    {
      pattern: /^\/dev\/((?:[shv]|xv)d[a-z]{1,2}\d*)$/,
      find: byDeviceName,
      how: 'by the order of the disks',
    },
    {
      pattern: /^\/dev\/(nvme\d+n1(?:p\d+)?)$/,
      find: byDeviceName,
      how: 'by the order of the disks',
    },
    { pattern: /^\/dev\/([^/]+\/[^/]+)$/s, find: byLogical, how: 'by logical volume' },
  ];

/** Finds the volume that a line of fstab or crypttab names. Never guesses between several. */
export function matchDevice(
  device: string,
  machine: MachineVolumes,
  crypttab: readonly CrypttabEntry[],
): DeviceMatch {
  for (const { pattern, find, how } of RULES) {
    const value = pattern.exec(device)?.[1];
    if (value === undefined) continue;
    const found = find(unescapeUdev(value), machine);
    const [volume, second] = found;
    if (volume !== undefined && second === undefined) return matched(volume, how);
    if (second !== undefined) {
      const named = found.slice(0, NAMED_MAX).map(({ id }) => id);
      const more = found.length - named.length;
      const rest = more > 0 ? ` and ${more} more` : '';
      return nothing(`several volumes fit: ${named.join(', ')}${rest}`);
    }
    return nothing(whyMissing(device, machine, crypttab));
  }
  return nothing('a device name that says nothing about the volume');
}

function matched(volume: Volume, how: string): DeviceMatch {
  return { volume, how };
}

function nothing(why: string): DeviceMatch {
  return { volume: undefined, why };
}

function whyMissing(
  device: string,
  machine: MachineVolumes,
  crypttab: readonly CrypttabEntry[],
): string {
  const wanted = device.startsWith(MAPPER) ? device.slice(MAPPER.length) : undefined;
  const opened = crypttab.find(({ name }) => name === wanted);
  if (opened === undefined) return 'no disk of this restore point has such a volume';
  const below = matchDevice(opened.device, machine, []);
  return below.volume === undefined
    ? `it is encrypted, on ${opened.device}, which is on no disk of this restore point`
    : `it is encrypted, on ${below.volume.id}`;
}

/** `vg-lv`, where a dash inside a name is doubled. */
function byMapperName(value: string, machine: MachineVolumes): readonly Volume[] {
  const parts = splitMapperName(value);
  return parts === undefined ? [] : byLogical(parts.join('/'), machine);
}

/** Pairs of dashes stand for one; the one that is left over separates. */
function splitMapperName(value: string): [string, string] | undefined {
  const separators = [...value.matchAll(/-+/g)].filter(([dashes]) => dashes.length % 2 === 1);
  const [separator] = separators;
  if (separator === undefined || separators.length > 1) return undefined;
  // A name cannot begin with a dash, so the separator is the last of its run.
  const at = separator.index + separator[0].length - 1;
  const single = (text: string): string => text.replaceAll('--', '-');
  return [single(value.slice(0, at)), single(value.slice(at + 1))];
}

/** The identifiers of group and volume, without dashes, one behind the other. */
function byMapperUuid(value: string, { groups }: MachineVolumes): readonly Volume[] {
  const plain = (uuid: string): string => uuid.replaceAll('-', '');
  return groups.flatMap(({ uuid, volumes }) =>
    volumes.filter((volume) => plain(uuid) + plain(volume.uuid) === value),
  );
}

/** `sda1` is taken for the first partition of the first disk: what firmware and kernels mostly do. */
function byDeviceName(value: string, { disks }: MachineVolumes): readonly Volume[] {
  const nvme = /^nvme(\d+)n1(?:p(\d+))?$/.exec(value);
  const classic = /^(?:[shv]|xv)d([a-z]{1,2})(\d*)$/.exec(value);
  const index = nvme === null ? indexOfLetters(classic?.[1] ?? '') : Number(nvme[1]);
  const number = nvme === null ? classic?.[2] : nvme[2];
  const volumes = disks[index]?.volumes ?? [];
  if (number === undefined || number === '')
    return volumes.filter(({ kind }) => kind === 'whole disk');
  return volumes.filter(
    (volume) => volume.kind === 'partition' && volume.number === Number(number),
  );
}

function indexOfLetters(letters: string): number {
  return [...letters].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
}

/** udev writes what does not fit a file name as `\x20`. */
function unescapeUdev(value: string): string {
  const runs = /(?:\\x[0-9a-f]{2})+/gi;
  return value.replaceAll(runs, (run) =>
    Buffer.from(run.replaceAll('\\x', ''), 'hex').toString('utf8'),
  );
}

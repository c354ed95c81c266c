import type {
  Attributes,
  ExtendedAttribute,
  LinkTarget,
  StreamEntry,
} from '../../../core/index.ts';
import { nameForJson, showName, showText } from '../../../vfs/index.ts';
import type { StatRequest } from '../messages.ts';
import type { InspectContext, OpenAddress } from '../session.ts';
import { addressJson } from '../text/address-json.ts';
import { attributesJson, targetJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { formatMode } from '../text/mode.ts';
import { formatExactTime } from '../text/time.ts';
import { eachAddress } from './each-address.ts';

/** All that is known of one file. */
interface Known {
  readonly attributes: Attributes;
  readonly target: LinkTarget | undefined;
  readonly xattrs: readonly ExtendedAttribute[];
  readonly streams: readonly StreamEntry[];
  readonly shortName: string | undefined;
}

/** `stat`: everything known of files, links not followed. */
export async function stat(context: InspectContext, request: StatRequest): Promise<void> {
  const json = request.json ? new JsonList(context.output, 'files') : undefined;
  let isFirst = true;
  await eachAddress(context, request.addresses, false, async (address) => {
    const known = await learn(address);
    if (json === undefined) {
      context.output.write(`${isFirst ? '' : '\n'}${asText(address, known)}`);
    } else {
      json.add({ ...addressJson(address, address.place), ...asJson(known) });
    }
    isFirst = false;
  });
  json?.end();
}

async function learn({ place, tree }: OpenAddress): Promise<Known> {
  const { fileSystem } = place.volume;
  const attributes = await fileSystem.stat(place.node);
  return {
    attributes,
    target: attributes.kind === 'symlink' ? await fileSystem.readLink(place.node) : undefined,
    xattrs: await fileSystem.xattrs(place.node),
    streams: await fileSystem.streams(place.node),
    shortName: await shortNameOf({ place, tree }, attributes.fileNumber),
  };
}

/** Only the directory knows the entry's short name. */
async function shortNameOf(
  { place, tree }: Pick<OpenAddress, 'place' | 'tree'>,
  fileNumber: number,
): Promise<string | undefined> {
  const { dosAttributes } = await place.volume.fileSystem.stat(place.node);
  const cut = place.path.lastIndexOf('/');
  const name = place.path.slice(cut + 1);
  if (dosAttributes === undefined || name === '') return undefined;
  const parent = await parentOf({ place, tree }, place.path.slice(0, cut));
  if (parent?.volume !== place.volume) return undefined;
  for await (const batch of tree.list(parent)) {
    for (const entry of batch) {
      if (entry.node !== place.node && entry.node !== fileNumber) continue;
      if (entry.name.toUpperCase() === name.toUpperCase()) return entry.shortName;
    }
  }
  return undefined;
}

async function parentOf(
  { tree }: Pick<OpenAddress, 'place' | 'tree'>,
  path: string,
): Promise<OpenAddress['place'] | undefined> {
  let here: OpenAddress['place'] | undefined = await tree.root();
  for (const name of path.split('/').filter(Boolean)) {
    if (here === undefined) return undefined;
    here = await tree.child(here, name);
  }
  return here;
}

function asJson({ attributes, target, xattrs, streams, shortName }: Known): object {
  return {
    ...attributesJson(attributes),
    ...(target === undefined ? {} : targetJson(target)),
    ...(shortName === undefined ? {} : { shortName }),
    xattrs: xattrs.map(({ name, value }) => ({
      ...nameForJson(name),
      size: value.byteLength,
      base64: Buffer.from(value).toString('base64'),
    })),
    streams: streams.map(({ name, size, allocated }) => ({
      ...nameForJson(name),
      size,
      allocated,
    })),
  };
}

function asText({ name, place }: OpenAddress, known: Known): string {
  const { attributes, target, xattrs, streams, shortName } = known;
  const { kind, size, allocated, links, uid, gid, device } = attributes;
  const { id, fileSystem } = place.volume;
  const { state } = fileSystem.health;
  const label = fileSystem.label === '' ? '' : ` ${showName(fileSystem.label)}`;
  const lines: [string, string | undefined][] = [
    ['point', name],
    ['path', showName(place.path)],
    ['leads to', target === undefined ? undefined : showName(target.target)],
    ['volume', `${id} ${fileSystem.type}${label} (${state})`],
    ['kind', kind],
    ['size', `${size} bytes, ${allocated} allocated`],
    ['device', device === undefined ? undefined : `${device.major}:${device.minor}`],
    ['links', String(links)],
    ['mode', modeText(attributes)],
    ['owner', uid === undefined ? undefined : `${uid}:${gid ?? 0}`],
    ...times(attributes),
    ['file number', `${attributes.fileNumber}, generation ${attributes.generation}`],
    ['short name', shortName === undefined ? undefined : showName(shortName)],
    ['not readable', attributes.unreadable],
    ...xattrs.map((x): [string, string] => [
      'xattr',
      `${showName(x.name)}, ${x.value.byteLength} bytes`,
    ]),
    ...streams.map((s): [string, string] => ['stream', `${showName(s.name)}, ${s.size} bytes`]),
  ];
  return lines
    .filter(([, value]) => value !== undefined)
    .map(([title, value]) => `${title.padStart(12)}: ${showText(value ?? '')}\n`)
    .join('');
}

function modeText(attributes: Attributes): string {
  const { mode, dosAttributes } = attributes;
  const letters = formatMode(attributes);
  const octal = mode === undefined ? '' : ` (${mode.toString(8).padStart(4, '0')})`;
  const dos = dosAttributes === undefined ? '' : ` (0x${dosAttributes.toString(16)})`;
  return `${letters}${octal}${dos}`;
}

function times(attributes: Attributes): [string, string | undefined][] {
  const { modified, accessed, changed, created } = attributes;
  return Object.entries({ modified, accessed, changed, created }).map(([title, value]) => [
    title,
    value === undefined ? undefined : formatExactTime(value),
  ]);
}

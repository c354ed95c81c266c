import { nameToBytes } from '../../../core/index.ts';
import {
  joinPath,
  nameForJson,
  type Place,
  showName,
  type TreeEntry,
  walk,
} from '../../../vfs/index.ts';
import { compileGlob } from '../glob.ts';
import type { FindConditions, FindRequest } from '../messages.ts';
import type { InspectContext, OpenAddress } from '../session.ts';
import { entryJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { longRows } from '../text/long-rows.ts';
import { eachAddress } from './each-address.ts';
import { linkTargets } from './link-targets.ts';

const NUL = new Uint8Array(1);

type Condition = (entry: TreeEntry) => boolean;

/** `find`: the files below a directory that are as asked, told as they are met. */
export async function find(context: InspectContext, request: FindRequest): Promise<void> {
  const { output, remarks } = context;
  const json = request.json ? new JsonList(output, 'found') : undefined;
  const fits = conditionOf(request);
  const needsAttributes =
    request.json || request.long || request.types !== undefined || looksInside(request);
  await eachAddress(context, request.addresses, true, async (address) => {
    const depth = request.depthMax === undefined ? {} : { depthMax: request.depthMax - 1 };
    const options = { attributes: needsAttributes, ...depth };
    for await (const step of walk(address.tree, address.place, options)) {
      const { directory, entries, error, isEntered } = step;
      if (error !== undefined) remarks.fail(error, showName(directory.path));
      if (!isEntered) continue;
      const found: TreeEntry[] = [];
      for (const entry of entries) {
        if (entry.error !== undefined) {
          remarks.fail(entry.error, showName(joinPath(directory.path, entry.name)));
        }
        if (fits(entry)) found.push(entry);
      }
      if (found.length === 0) continue;
      if (json === undefined) await writeText(context, request, directory, found);
      else await addJson(json, address, directory, found, context);
    }
  });
  json?.end();
}

async function writeText(
  { output, remarks }: InspectContext,
  { long, separateByNul }: FindRequest,
  directory: Place,
  found: readonly TreeEntry[],
): Promise<void> {
  const pathOf = ({ name }: TreeEntry): string => joinPath(directory.path, name);
  if (separateByNul) {
    for (const entry of found) {
      output.writeBytes(nameToBytes(pathOf(entry)));
      output.writeBytes(NUL);
    }
  } else if (long) {
    const targets = await linkTargets(directory.volume, found, remarks);
    output.write(longRows(found, targets, 'modified', (entry) => showName(pathOf(entry))));
  } else {
    for (const entry of found) output.write(`${showName(pathOf(entry))}\n`);
  }
}

async function addJson(
  json: JsonList,
  { name: point }: OpenAddress,
  directory: Place,
  found: readonly TreeEntry[],
  { remarks }: InspectContext,
): Promise<void> {
  const targets = await linkTargets(directory.volume, found, remarks);
  for (const entry of found) {
    const { name: path, nameBytes: pathBytes } = nameForJson(joinPath(directory.path, entry.name));
    const bytes = pathBytes === undefined ? {} : { pathBytes };
    const volume = entry.mount?.id ?? directory.volume.id;
    json.add({ point, path, ...bytes, ...entryJson(entry, targets.get(entry)), volume });
  }
}

function looksInside({ sizeMin, sizeMax, newerThan, olderThan }: FindConditions): boolean {
  return [sizeMin, sizeMax, newerThan, olderThan].some((value) => value !== undefined);
}

/** What a file of unknown attributes is cannot be told: it fits no condition about them. */
function conditionOf(wanted: FindConditions): Condition {
  const { types, sizeMin, sizeMax, newerThan, olderThan } = wanted;
  const glob = wanted.name === undefined ? undefined : compileGlob(wanted.name, wanted.ignoreCase);
  return (entry) => {
    const { attributes } = entry;
    if (glob !== undefined && !glob.matches(entry.name)) return false;
    if (types !== undefined && !types.includes(attributes?.kind ?? entry.kind)) return false;
    if (!looksInside(wanted)) return true;
    if (attributes === undefined) return false;
    const { size, modified } = attributes;
    if (sizeMin !== undefined && size < sizeMin) return false;
    if (sizeMax !== undefined && size > sizeMax) return false;
    if (newerThan !== undefined && modified.seconds <= newerThan) return false;
    return olderThan === undefined || modified.seconds < olderThan;
  };
}

import { showName, type TreeEntry, walk } from '../../../vfs/index.ts';
import type { TreeRequest } from '../messages.ts';
import type { InspectContext } from '../session.ts';
import { addressJson } from '../text/address-json.ts';
import { Drawing } from '../text/drawing.ts';
import { entriesJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { eachAddress } from './each-address.ts';
import { linkTargets } from './link-targets.ts';
import { warnUnsorted } from './warn-unsorted.ts';

/** `tree`: directories and what is in them, drawn. */
export async function tree(context: InspectContext, request: TreeRequest): Promise<void> {
  const { output, remarks } = context;
  const json = request.json ? new JsonList(output, 'directories') : undefined;
  const counts = { directories: 0, others: 0 };
  /** A directory's list has been begun. */
  let isOpen = false;
  await eachAddress(context, request.addresses, true, async (address) => {
    const bound = request.depthMax === undefined ? {} : { depthMax: request.depthMax - 1 };
    const drawing = new Drawing(output);
    if (json === undefined) output.write(`${address.name}:${showName(address.place.path)}\n`);
    const options = { attributes: true, sorted: true, ...bound };
    for await (const step of walk(address.tree, address.place, options)) {
      const { directory, depth, entries, error, isEntered, isFirst, isUnsorted } = step;
      if (error !== undefined) remarks.fail(error, showName(directory.path));
      if (isUnsorted === true) warnUnsorted(context, directory);
      if (!isEntered) continue;
      count(entries, counts);
      for (const entry of entries) {
        if (entry.error !== undefined) remarks.fail(entry.error, showName(entry.name));
      }
      const targets = await linkTargets(directory.volume, entries, remarks);
      if (json === undefined) {
        if (isFirst) drawing.enter(step.from?.entry.name ?? '', depth);
        for (const entry of entries) {
          const { name } = entry;
          const isDirectory = (entry.attributes?.kind ?? entry.kind) === 'directory';
          drawing.add({ name, label: label(entry, targets.get(entry)), isDirectory });
        }
        continue;
      }
      if (isFirst) {
        if (isOpen) json.finish();
        isOpen = true;
        json.begin({ ...addressJson(address, directory), depth }, 'entries');
      }
      json.addInner(entriesJson(entries, targets));
    }
    drawing.end();
  });
  if (isOpen) json?.finish();
  json?.end();
  if (json === undefined) {
    output.write(`\n${counts.directories} directories, ${counts.others} files\n`);
  }
}

function label(entry: TreeEntry, target: unknown): string {
  const name = showName(entry.name);
  if (target instanceof Error) return `${name} -> ?`;
  const leadsTo = (target as { readonly target: string } | undefined)?.target;
  if (leadsTo !== undefined) return `${name} -> ${showName(leadsTo)}`;
  return entry.error === undefined ? name : `${name}  [${entry.error.code}]`;
}

function count(
  entries: readonly TreeEntry[],
  counts: { directories: number; others: number },
): void {
  for (const { attributes, kind } of entries) {
    if ((attributes?.kind ?? kind) === 'directory') counts.directories += 1;
    else counts.others += 1;
  }
}

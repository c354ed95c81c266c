import type { RestoreError } from '../../../core/index.ts';
import { type Place, showName, type TreeEntry, walk } from '../../../vfs/index.ts';
import type { ListRequest } from '../messages.ts';
import type { InspectContext, OpenAddress } from '../session.ts';
import { addressJson } from '../text/address-json.ts';
import { entriesJson } from '../text/entry-json.ts';
import { JsonList } from '../text/json-list.ts';
import { leastWidths, longRows } from '../text/long-rows.ts';
import { eachAddress } from './each-address.ts';
import { linkTargets } from './link-targets.ts';
import { warnUnsorted } from './warn-unsorted.ts';

/** `ls`: what is in directories, or of what kind files are. */
export async function list(context: InspectContext, request: ListRequest): Promise<void> {
  const writer = request.json ? new JsonWriter(context) : new TextWriter(context, request);
  // Like ls: with -l, a link that is named is told and not followed.
  const follow = !(request.long || request.directory);
  await eachAddress(context, request.addresses, follow, async (address) => {
    const { place, tree } = address;
    const attributes = await place.volume.fileSystem.stat(place.node);
    if (attributes.kind !== 'directory' || request.directory) {
      const entry = { name: place.path, node: place.node, kind: attributes.kind, attributes };
      await writer.add({ address, place, entries: [entry], isDirectory: false, isFirst: true });
      return;
    }
    const options = {
      attributes: request.long || request.json,
      sorted: true,
      ...(request.recursive ? {} : { depthMax: 0 }),
    };
    for await (const step of walk(tree, place, options)) {
      const { directory, entries, error, isEntered, isFirst } = step;
      if (error !== undefined) context.remarks.fail(error, showName(directory.path));
      if (step.isUnsorted === true) warnUnsorted(context, directory);
      if (!isEntered) continue;
      const more = error === undefined ? {} : { error };
      await writer.add({ address, place: directory, entries, isDirectory: true, isFirst, ...more });
    }
  });
  writer.end();
}

/** Entries of one directory, or one file that was named. */
interface Listed {
  readonly address: OpenAddress;
  /** The directory, or the file itself. */
  readonly place: Place;
  readonly entries: readonly TreeEntry[];
  readonly isDirectory: boolean;
  /** The first of it. */
  readonly isFirst: boolean;
  readonly error?: RestoreError;
}

class TextWriter {
  readonly #context: InspectContext;
  readonly #request: ListRequest;
  readonly #hasTitles: boolean;
  #isFirst = true;
  #widths = leastWidths();

  constructor(context: InspectContext, request: ListRequest) {
    this.#context = context;
    this.#request = request;
    this.#hasTitles = request.recursive || request.addresses.length > 1;
  }

  async add({ address, place, entries, isDirectory, isFirst }: Listed): Promise<void> {
    const { output, remarks } = this.#context;
    const { long, time, addresses } = this.#request;
    if (isFirst) this.#widths = leastWidths();
    if (isDirectory && isFirst && this.#hasTitles) {
      const path = showName(place.path);
      const title = addresses.length === 1 ? path : `${address.name}:${path}`;
      output.write(`${this.#isFirst ? '' : '\n'}${title}:\n`);
    }
    this.#isFirst = false;
    tellErrors(this.#context, place, entries);
    if (long) {
      const targets = await linkTargets(place.volume, entries, remarks);
      output.write(longRows(entries, targets, time, undefined, this.#widths));
      return;
    }
    let text = '';
    for (const entry of entries) text += `${showName(entry.name)}\n`;
    output.write(text);
  }

  end(): void {}
}

class JsonWriter {
  readonly #context: InspectContext;
  readonly #list: JsonList;
  /** A directory's list has been begun. */
  #isOpen = false;
  /** Of that directory. */
  #error: RestoreError | undefined;

  constructor(context: InspectContext) {
    this.#context = context;
    this.#list = new JsonList(context.output, 'listings');
  }

  async add({ address, place, entries, isFirst, error }: Listed): Promise<void> {
    const targets = await linkTargets(place.volume, entries, this.#context.remarks);
    tellErrors(this.#context, place, entries);
    if (isFirst) {
      this.#finish();
      this.#list.begin(addressJson(address, place), 'entries');
      this.#isOpen = true;
    }
    this.#list.addInner(entriesJson(entries, targets));
    this.#error = error;
  }

  end(): void {
    this.#finish();
    this.#list.end();
  }

  #finish(): void {
    const error = this.#error;
    if (!this.#isOpen) return;
    const { code, message } = error ?? {};
    this.#list.finish(error === undefined ? {} : { error: { code, message } });
    this.#isOpen = false;
    this.#error = undefined;
  }
}

function tellErrors(
  { remarks }: InspectContext,
  { path }: Place,
  entries: readonly TreeEntry[],
): void {
  for (const { error, name } of entries) {
    if (error !== undefined) remarks.fail(error, `${showName(path)}: ${showName(name)}`);
  }
}

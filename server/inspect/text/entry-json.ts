import type { Attributes, LinkTarget, RestoreError, Timestamp } from '../../../core/index.ts';
import { nameForJson, type TreeEntry } from '../../../vfs/index.ts';
import { formatExactTime } from './time.ts';

/** Entries for programs, one after the other: of very many, none is held. */
export function* entriesJson(
  entries: readonly TreeEntry[],
  targets: ReadonlyMap<TreeEntry, LinkTarget | RestoreError>,
): Generator<Record<string, unknown>> {
  for (const entry of entries) yield entryJson(entry, targets.get(entry));
}

/** An entry for programs; what is not known is absent. */
export function entryJson(
  entry: TreeEntry,
  target: LinkTarget | RestoreError | undefined,
): Record<string, unknown> {
  const { name, kind, attributes, error, shortName, mount } = entry;
  return {
    ...nameForJson(name),
    ...(attributes === undefined ? { kind } : attributesJson(attributes)),
    ...(target === undefined ? {} : targetJson(target)),
    ...(shortName === undefined ? {} : { shortName }),
    ...(mount === undefined ? {} : { volume: mount.id }),
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
  };
}

export function attributesJson(attributes: Attributes): Record<string, unknown> {
  const { mode, uid, gid, device, dosAttributes, unreadable } = attributes;
  const { kind, size, allocated, links, fileNumber, generation } = attributes;
  const time = (name: string, value: Timestamp | undefined): Record<string, string> =>
    value === undefined ? {} : { [name]: formatExactTime(value) };
  return {
    kind,
    size,
    allocated,
    links,
    ...time('modified', attributes.modified),
    ...time('accessed', attributes.accessed),
    ...time('changed', attributes.changed),
    ...time('created', attributes.created),
    ...(mode === undefined ? {} : { mode: mode.toString(8).padStart(4, '0') }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    ...(device === undefined ? {} : { device }),
    fileNumber,
    generation,
    ...(dosAttributes === undefined ? {} : { dosAttributes }),
    ...(unreadable === undefined ? {} : { unreadable }),
  };
}

export function targetJson(target: LinkTarget | RestoreError): Record<string, unknown> {
  if (target instanceof Error) {
    return { targetError: { code: target.code, message: target.message } };
  }
  const { name, nameBytes } = nameForJson(target.target);
  return {
    target: name,
    ...(nameBytes === undefined ? {} : { targetBytes: nameBytes }),
    targetStyle: target.style,
  };
}

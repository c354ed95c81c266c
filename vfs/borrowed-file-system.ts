import type { FileSystem } from '../core/index.ts';

/** A file system lent to someone who closes what they are given: closing it leaves it open. */
export function borrowedFileSystem(next: FileSystem): FileSystem {
  return {
    type: next.type,
    label: next.label,
    uuid: next.uuid,
    caseSensitive: next.caseSensitive,
    root: next.root,
    space: next.space,
    ...(next.countFree === undefined
      ? {}
      : { countFree: async (signal) => await next.countFree?.(signal) }),
    get health() {
      return next.health;
    },
    lookup: (parent, name, signal) => next.lookup(parent, name, signal),
    stat: (node, signal) => next.stat(node, signal),
    list: (node, options) => next.list(node, options),
    open: (node, stream, signal) => next.open(node, stream, signal),
    readLink: (node, signal) => next.readLink(node, signal),
    xattrs: (node, signal) => next.xattrs(node, signal),
    streams: (node, signal) => next.streams(node, signal),
    close: async () => {},
  };
}

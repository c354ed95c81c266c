import { nameFromBytes } from '../../../core/index.ts';
import type { ListedFile, Listing } from '../../fixtures/file-systems/index.ts';
import type { Cli } from '../command/harness.ts';

/** An entry of `ls --json`. */
export interface JsonEntry {
  readonly name: string;
  readonly nameBytes?: string;
  readonly kind: ListedFile['kind'];
  readonly size: number;
  readonly links: number;
  readonly modified: string;
  readonly mode?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly device?: { readonly major: number; readonly minor: number };
  readonly target?: string;
  readonly targetBytes?: string;
}

export interface JsonListing {
  readonly path: string;
  readonly pathBytes?: string;
  readonly volume: string;
  readonly health: { readonly state: string };
  readonly entries: readonly JsonEntry[];
}

/** Everything below an address, as `ls -lR --json` tells it, in the shape of the other readers. */
export async function listByCommand(
  cli: Cli,
  repository: string,
  address: string,
): Promise<Listing> {
  const { listings } = await cli.json<{ listings: JsonListing[] }>(
    ...['ls', '-l', '-R', repository, address],
  );
  const listing: Listing = new Map();
  for (const { path, pathBytes, entries } of listings) {
    const folder = exact(path, pathBytes);
    for (const entry of entries) {
      const name = exact(entry.name, entry.nameBytes);
      listing.set(folder === '/' ? `/${name}` : `${folder}/${name}`, listedFile(entry));
    }
  }
  return listing;
}

/** What both the command and a mounted file system tell; the root and hashes are told by one alone. */
export function comparable(listing: Listing): Record<string, object> {
  const shared = [...listing]
    .filter(([path]) => path !== '/')
    .map(([path, file]): [string, object] => [path, { ...file, sha256: undefined }]);
  return Object.fromEntries(shared);
}

function listedFile(entry: JsonEntry): ListedFile {
  const { kind, size, links, modified, mode, uid, gid, device, target, targetBytes } = entry;
  const seconds = Date.parse(`${modified.slice(0, 19)}Z`) / 1000;
  return {
    kind,
    size,
    links,
    modified: `${seconds}.${modified.slice(20, 29)}`,
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8).toString(8) }),
    ...(uid === undefined ? {} : { owner: `${uid}:${gid}` }),
    ...(device === undefined ? {} : { device: `${device.major}:${device.minor}` }),
    ...(target === undefined ? {} : { target: exact(target, targetBytes) }),
  };
}

function exact(name: string, bytes: string | undefined): string {
  return bytes === undefined ? name : nameFromBytes(Buffer.from(bytes, 'base64'));
}

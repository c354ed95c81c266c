import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { nearest, RestoreError } from '../core/index.ts';
import type { NativeRepository } from '../store-reader/index.ts';
import { deleteOverlay, type ListedOverlay, listOverlays } from '../store-writer/index.ts';
import type { Exports } from './exports.ts';
import type { ServiceState } from './state.ts';

/** An overlay as a list shows it. */
export interface OverlayListing {
  readonly id: string;
  readonly folder: string;
  /** Location of the repository that holds what lies beneath. */
  readonly repository: string;
  /** Space that it takes on disk. */
  readonly usedBytes: number;
  /** The export it is open through. */
  readonly export?: string;
  readonly address?: string;
  readonly pointId?: string;
  readonly diskId?: string;
  readonly createdAt?: string;
  readonly note?: string;
  readonly sizeLimitBytes?: number;
  /** Why it cannot be opened. */
  readonly damaged?: string;
}

/** The overlays of one repository, open or not. */
export class Overlays {
  readonly #state: ServiceState;
  readonly #repository: NativeRepository;
  readonly #exports: Exports;

  constructor(state: ServiceState, repository: NativeRepository, exports: Exports) {
    this.#state = state;
    this.#repository = repository;
    this.#exports = exports;
  }

  async list(): Promise<OverlayListing[]> {
    return (await listOverlays(this.#state.overlays)).map((found) => this.#describe(found));
  }

  /** By id, or the beginning of one. @throws RestoreError `NOT_FOUND`, `INVALID`. */
  async get(wanted: string): Promise<OverlayListing> {
    const all = await this.list();
    const matches = all.filter(({ id }) => id.startsWith(wanted));
    const [match] = matches;
    if (match !== undefined && matches.length === 1) return match;
    if (match !== undefined) {
      throw new RestoreError('INVALID', 'more than one overlay begins so', {
        where: { found: wanted, expected: matches.map(({ id }) => id).join(', ') },
      });
    }
    const near = nearest(
      wanted,
      all.map(({ id }) => id.slice(0, 8)),
    );
    throw new RestoreError('NOT_FOUND', `no overlay named ${wanted}`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : '`rehydrate overlay list`',
    });
  }

  /** Deletes an overlay and all that was written to it. @throws RestoreError `BUSY` while exported. */
  async discard(wanted: string): Promise<string> {
    const { id, folder, export: user } = await this.get(wanted);
    if (user !== undefined) {
      throw new RestoreError('BUSY', 'the overlay is open', {
        where: { object: `export ${user}` },
        hint: `Close it first: rehydrate revoke ${user}.`,
      });
    }
    await deleteOverlay(folder);
    return id;
  }

  #describe(found: ListedOverlay): OverlayListing {
    const { folder } = found;
    const id = path.basename(folder);
    const user = this.#exports.usingOverlay(id)?.id;
    const common = {
      id,
      folder,
      repository: this.#repository.backend.location,
      usedBytes: spaceOf(folder),
      ...(user === undefined ? {} : { export: user }),
    };
    if ('error' in found) return { ...common, damaged: found.error.message };
    const { pointId, diskId, createdAt, note, sizeLimitBytes } = found.record;
    const point = this.#repository.catalog.points.find((name) => name.id === pointId);
    const address = point && { address: `${point.machine}@${point.takenAt}/${diskId}` };
    return { ...common, ...address, pointId, diskId, createdAt, note, sizeLimitBytes };
  }
}

/** What `du` says: holes take nothing. */
function spaceOf(folder: string): number {
  return readdirSync(folder).reduce(
    (sum, name) =>
      sum + (statSync(path.join(folder, name), { throwIfNoEntry: false })?.blocks ?? 0) * 512,
    0,
  );
}

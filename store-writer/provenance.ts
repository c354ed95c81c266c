import type { PointRecord } from '../store-reader/index.ts';

/**
 * Tags of a point that was not captured from its machine but made of another point and an overlay.
 * Captures keep clear of such points, and people can see where they come from.
 */
export const PROVENANCE_TAGS = {
  point: 'rehydrate.from-point',
  overlay: 'rehydrate.overlay',
} as const;

/** Whether a point was committed from an overlay. */
export function isCommitted({ tags }: Pick<PointRecord, 'tags'>): boolean {
  return tags[PROVENANCE_TAGS.overlay] !== undefined;
}

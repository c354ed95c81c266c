import { type ContentPlace, isLocated } from '../../../../core/index.ts';
import type { Mft } from '../mft.ts';

/** Where the MFT lies on the volume. */
export async function* mftPlaces(
  { source }: Mft,
  signal?: AbortSignal,
): AsyncGenerator<ContentPlace> {
  if (isLocated(source)) yield* source.places(signal);
}

import type { Cli } from '../command/harness.ts';
import { diffByCommand, type JsonDifference } from './apply.ts';

/** When the images are captured. */
export const POINTS = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'] as const;

/** Captures both images as points of one machine, and has them compared. */
export async function compareImages(
  cli: Cli,
  repository: string,
  machine: string,
  images: readonly [before: string, after: string],
  ...more: readonly string[]
): Promise<JsonDifference> {
  for (const [index, image] of images.entries()) {
    const at = POINTS[index] as string;
    await cli.json('capture', repository, '--machine', machine, '--at', at, image);
  }
  const addresses = POINTS.map((point) => `${machine}@${point}`);
  return await diffByCommand(cli, repository, ...addresses, ...more);
}

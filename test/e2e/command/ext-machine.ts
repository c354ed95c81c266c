import type { TestContext } from 'vitest';
import { type ExtRecipe, makeExt } from '../../fixtures/file-systems/ext.ts';
import { captureRaw } from '../../fixtures/file-systems/hostile-tree.ts';
import { LoopDevice } from '../../fixtures/loop-device.ts';
import type { Scratch } from '../../fixtures/repository.ts';
import { Cli } from './harness.ts';

export interface CapturedMachine {
  readonly cli: Cli;
  readonly repository: string;
  readonly image: string;
}

/** A repository with `web01`, whose disk is one ext volume. Skips the test where none can be filled. */
export async function extMachine(
  scratch: Scratch,
  context: TestContext,
  recipe: ExtRecipe,
): Promise<CapturedMachine> {
  const missing = await LoopDevice.missing(scratch.file('loop'));
  context.skip(missing !== undefined, missing);
  const image = await makeExt(scratch.path, 'disk', recipe);
  const cli = new Cli(scratch);
  return { cli, repository: await captureRaw(cli, scratch, image), image };
}

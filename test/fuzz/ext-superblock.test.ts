/**
 * Every bit of an ext superblock flipped, one at a time: the volume is shown as it was, or refused, or
 * a part of it is shown and that is said. `make fuzz` does all bits, `make test` some of them.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeExt } from '../fixtures/file-systems/ext.ts';
import { missingTool, removeFolder, temporaryFolder } from '../golden/image-support.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';
import { fillExt } from './ext-seeds.ts';
import { show } from './ext-shown.ts';

const SUPERBLOCK_AT = 1024;
const BITS = 8 * 1024;
const ROUNDS = Math.min(BITS, roundsOf(820));
/** Of bits: it has no common divisor with their number, so all of them have their turn. */
const STRIDE = 4099;
const MIB = 1024 * 1024;

const reason = missingTool('mke2fs');
const folder = await temporaryFolder();
afterAll(() => removeFolder(folder));

const KINDS: readonly (readonly [name: string, mkfs: readonly string[]])[] = [
  ['defaults', ['-t', 'ext4', '-b', '1024']],
  ['no sums', ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum']],
  ['bigalloc', ['-t', 'ext4', '-O', 'bigalloc', '-C', '16384']],
];

describe.each(KINDS)(`bits of the superblock: %s, seed ${SEED}`, (kind, mkfs) => {
  let bytes: Uint8Array<ArrayBuffer>;
  beforeAll(async () => {
    if (reason !== undefined) return;
    const content = path.join(folder, `${kind} content`);
    fillExt(content);
    const made = await makeExt(folder, kind.replace(' ', '-'), {
      ...{ sizeBytes: 12 * MIB, mkfs: ['-N', '256', ...mkfs, '-d', content] },
    });
    bytes = new Uint8Array(readFileSync(made));
  });
  beforeEach((context) => context.skip(reason !== undefined, reason));

  it('never show what is wrong, nor hide it', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const right = await show(bytes);
    expect(right.saysSo).toBe(false);
    expect(right.files.size).toBeGreaterThan(50);
    let whole = 0;
    const bitOf = (round: number): number => ((SEED + round) * STRIDE) % BITS;
    const name = (round: number): string => `${kind}, bit ${bitOf(round)}`;
    await runCampaign(
      { parser: 'ext superblock', rounds: ROUNDS, name },
      async (round, _, where) => {
        const bit = bitOf(round);
        const at = SUPERBLOCK_AT + Math.floor(bit / 8);
        const before = bytes[at] as number;
        bytes[at] = before ^ (1 << (bit % 8));
        const shown = await show(bytes).finally(() => {
          bytes[at] = before;
        });
        const wrong = [...shown.files].filter(([file, text]) => right.files.get(file) !== text);
        if (wrong.length > 0)
          throw new Error(`${where}: wrong are ${wrong.map(([file]) => file).join()}`);
        const isWhole = shown.files.size === right.files.size;
        if (isWhole) whole += 1;
        else if (!shown.saysSo) throw new Error(`${where}: ${shown.files.size} files, and no word`);
      },
    );
    // With sums one bit is always known, and put right.
    expect(whole).toBeGreaterThanOrEqual(kind === 'no sums' ? ROUNDS / 2 : ROUNDS);
  });
});

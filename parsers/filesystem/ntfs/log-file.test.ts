import { readFileSync } from 'node:fs';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../../../core/index.ts';
import {
  missingForNtfs,
  type NTFS_DAMAGES,
  ntfsDamaged,
} from '../../../test/fixtures/file-systems/index.ts';
import { restartPages } from '../../../test/fixtures/file-systems/ntfs-damage.ts';
import { attributeBytes, NtfsScratch } from '../../../test/fixtures/file-systems/ntfs-scratch.ts';
import { wordsAtMount } from '../../../test/fixtures/file-systems/ntfs-volume.ts';
import { type LogState, readLogState } from './log-file.ts';

const LOG_BYTES = 2 * 1024 * 1024;

const stateOf = (log: Uint8Array): Promise<LogState> => readLogState(new BytesSource(log));

function logOf(pages: Buffer): Buffer {
  const log = Buffer.alloc(LOG_BYTES, 0xff);
  pages.copy(log);
  return log;
}

describe('readLogState', () => {
  it('goes by the newer page, or by the one that holds', async () => {
    const dirtyThenClean = Buffer.concat([
      restartPages(LOG_BYTES, false).subarray(0, 4096),
      restartPages(LOG_BYTES, true).subarray(4096),
    ]);
    expect(await stateOf(logOf(dirtyThenClean))).toMatchObject({ state: 'clean', version: '1.1' });
    const torn = Buffer.from(dirtyThenClean);
    torn.writeUInt16LE(0, 4096 + 3 * 512 - 2);
    expect(await stateOf(logOf(torn))).toMatchObject({ state: 'dirty', version: '1.1' });
    const first = Buffer.from(dirtyThenClean).fill(0, 0, 4096);
    expect(await stateOf(logOf(first))).toMatchObject({ state: 'clean' });
  });

  it('tells the version of the layout, and a page that chkdsk marked', async () => {
    const newer = restartPages(LOG_BYTES, false, [2, 0]);
    expect(await stateOf(logOf(newer))).toMatchObject({ state: 'dirty', version: '2.0' });
    const checked = restartPages(LOG_BYTES, true);
    for (const at of [0, 4096]) checked.write('CHKD', at, 'latin1');
    expect(await stateOf(logOf(checked))).toMatchObject({ state: 'clean' });
  });

  it('does not know when no page can be read', async () => {
    const torn = restartPages(LOG_BYTES, true);
    for (const at of [510, 4096 + 510]) torn.writeUInt16LE(0x1234, at);
    expect(await stateOf(logOf(torn))).toMatchObject({ state: 'unknown' });
    for (const bytes of [new Uint8Array(0), new Uint8Array(100), new Uint8Array(200_000)]) {
      expect(await stateOf(bytes)).toMatchObject({ state: 'unknown' });
    }
    // What is behind the first pages was written to: this is no reset log.
    const half = Buffer.alloc(LOG_BYTES, 0xff);
    half.write('RCRD', 16_384, 'latin1');
    expect(await stateOf(half)).toMatchObject({ state: 'unknown' });
  });

  it('takes nothing for a page whose size and place do not fit together', async () => {
    const pages = restartPages(LOG_BYTES, false);
    const moved = Buffer.alloc(LOG_BYTES, 0);
    pages.copy(moved, 8192, 0, 4096);
    expect(await stateOf(moved)).toMatchObject({ state: 'unknown' });
    for (const wrong of [0, 100, 5000, 0x4000_0000]) {
      const damaged = Buffer.from(pages);
      for (const at of [0, 4096]) damaged.writeUInt32LE(wrong, at + 16);
      expect(await stateOf(logOf(damaged))).toMatchObject({ state: 'unknown' });
    }
  });
});

const reason = missingForNtfs('icat');
const UNCLEAN = "wasn't safely closed";

describe(`logs as ntfs-3g judges them${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const scratch = reason === undefined ? new NtfsScratch() : undefined;
  beforeEach((context) => context.skip(scratch === undefined, reason));
  afterAll(() => scratch?.remove());

  const CASES: [keyof typeof NTFS_DAMAGES, LogState['state']][] = [
    ['nothing at all', 'clean'],
    ['a log that waits for its replay', 'dirty'],
    ['a log that says it was dismounted', 'clean'],
  ];
  it.each(CASES)('%s: %s', async (damage, state) => {
    const image = (scratch as NtfsScratch).file(damage);
    await ntfsDamaged(image, damage);
    const log = await attributeBytes(image, '2');
    expect(readFileSync(image).includes(log.subarray(0, 4096))).toBe(true);
    expect(await stateOf(log)).toMatchObject({ state });
    expect((await wordsAtMount(image)).includes(UNCLEAN)).toBe(state === 'dirty');
  });
});

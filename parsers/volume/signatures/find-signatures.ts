import type { BlockSource } from '../../../core/index.ts';
import { bitLockerSignature } from './bitlocker.ts';
import { extSignature } from './ext.ts';
import { fatSignature } from './fat.ts';
import { fixedSignatures } from './fixed.ts';
import { hfsSignature } from './hfs.ts';
import { lvmSignature } from './lvm.ts';
import { luksRemains, luksSignature } from './luks.ts';
import {
  bcacheSignature,
  drbdSignature,
  firmwareRaidSignature,
  mdSignature,
  vmfsSignature,
} from './members.ts';
import { isoSignature, udfSignature } from './optical.ts';
import type { Signature } from './signature.ts';
import { swapSignature } from './swap.ts';
import { Window } from './window.ts';
import { zfsSignature } from './zfs.ts';

type Probe = (window: Window) => Promise<Signature | undefined>;

/** The list: what makes a volume part of something larger first, since it may look like its content too. */
const MEMBER_PROBES: readonly Probe[] = [
  lvmSignature,
  mdSignature,
  firmwareRaidSignature,
  luksSignature,
  bitLockerSignature,
  bcacheSignature,
  drbdSignature,
  zfsSignature,
];
const OTHER_PROBES: readonly Probe[] = [
  extSignature,
  fatSignature,
  udfSignature,
  isoSignature,
  vmfsSignature,
  hfsSignature,
  swapSignature,
];

/**
 * Every kind whose mark a volume bears, the most telling first. Looks at some KiB.
 *
 * @throws RestoreError as the source does; damage behind a mark is no matter.
 */
export async function findSignatures(volume: BlockSource): Promise<Signature[]> {
  const window = await Window.over(volume);
  const found: Signature[] = [];
  for (const probe of MEMBER_PROBES) found.push(...present(await probe(window)));
  found.push(...fixedSignatures(window));
  for (const probe of OTHER_PROBES) found.push(...present(await probe(window)));
  if (found.length === 0) found.push(...present(await luksRemains(window)));
  return found;
}

function present(signature: Signature | undefined): Signature[] {
  return signature === undefined ? [] : [signature];
}

import { Budget, BytesSource, cache, HealthLog } from '../../../../core/index.ts';
import type { Volume } from '../../driver.ts';
import { parseSuperblock } from '../superblock.ts';
import { type Replayed, replayJournal } from './replay.ts';

/** An image in memory with its journal replayed. */
export async function replayBytes(
  bytes: Uint8Array,
): Promise<{ replayed: Replayed; health: HealthLog }> {
  const data = new BytesSource(bytes);
  const metadata = cache(data, { budgetBytes: 16 * 1024 * 1024 });
  const health = new HealthLog();
  const superblock = parseSuperblock(bytes.subarray(1024, 2048), 1024);
  const volume: Volume = { data, metadata, budget: new Budget({ timeMs: 60_000 }), health };
  return { replayed: await replayJournal(volume, superblock), health };
}

/** The volume's bytes, by both of its ways. */
export async function wholeOf({ data, metadata }: Volume): Promise<Buffer> {
  const whole = Buffer.alloc(data.size);
  await data.readInto(whole, 0);
  const again = Buffer.alloc(data.size);
  await metadata.readInto(again, 0);
  if (!whole.equals(again)) throw new Error('data and metadata differ');
  return whole;
}

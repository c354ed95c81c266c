import { clearAttention, type TargetFixture } from './fixture.ts';
import { MemoryDevice } from './memory-device.ts';
import type { LoginOptions, RawClient } from './raw-client.ts';

export interface WritableDisk {
  readonly device: MemoryDevice;
  readonly client: RawClient;
}

/** Exports an empty disk under a name, in place of the one before, and logs in to it. */
export async function freshDisk(
  fixture: TargetFixture,
  iqn: string,
  sizeBytes: number,
  login: Partial<LoginOptions> = {},
): Promise<WritableDisk> {
  await fixture.target.removeExport(iqn, { graceMs: 0 });
  const device = new MemoryDevice(sizeBytes);
  fixture.add(iqn, device);
  const client = await fixture.session(iqn, login);
  await clearAttention(client);
  return { device, client };
}

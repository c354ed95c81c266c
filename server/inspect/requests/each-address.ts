import { asRestoreError } from '../../../core/index.ts';
import { showName } from '../../../vfs/index.ts';
import type { InspectContext, OpenAddress } from '../session.ts';

/**
 * Runs `body` for each address. Where there are several, one that fails is told and the rest go on.
 *
 * @param follow whether a link that an address names is followed.
 * @throws RestoreError the failure of the only one.
 */
export async function eachAddress(
  { session, remarks, output }: InspectContext,
  addresses: readonly string[],
  follow: boolean,
  body: (address: OpenAddress) => Promise<void>,
): Promise<void> {
  for (const text of addresses) {
    try {
      await body(await session.resolve(text, follow, remarks));
    } catch (error) {
      if (addresses.length === 1 || !(error instanceof Error) || error.name !== 'RestoreError') {
        throw error;
      }
      output.flush();
      remarks.fail(asRestoreError(error, 'cannot read'), showName(text));
    }
  }
}

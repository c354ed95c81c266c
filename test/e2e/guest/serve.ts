import { HOST_SEEN_FROM_GUEST } from '../../fixtures/guest/index.ts';
import { freePort } from '../../fixtures/tools/index.ts';
import type { Cli, Service } from '../command/harness.ts';

/** Starts the service so that a guest reaches its portal under the address that it is told. */
export async function serveToGuests(
  cli: Cli,
  repository: string,
  control: string,
): Promise<Service> {
  const port = await freePort();
  return await cli.serve(
    repository,
    control,
    ...['--iscsi-listen', `127.0.0.1:${port}`],
    ...['--iscsi-advertise', `${HOST_SEEN_FROM_GUEST}:${port}`],
  );
}

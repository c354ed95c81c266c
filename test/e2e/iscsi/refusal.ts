import { LoginRefused, RawClient } from './raw-client.ts';

/** A connection of its own, closed behind `use`. */
export async function withClient<T>(
  port: number,
  use: (client: RawClient) => Promise<T>,
): Promise<T> {
  const client = await RawClient.connect(port);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** The status that a login is refused with. */
export function refusal(
  port: number,
  use: (client: RawClient) => Promise<unknown>,
): Promise<number> {
  return withClient(port, async (client) => {
    try {
      await use(client);
    } catch (error) {
      if (!(error instanceof LoginRefused)) throw error;
      await client.untilClosed();
      return error.status;
    }
    throw new Error('the login was not refused');
  });
}

import { RestoreError } from '../../core/index.ts';
import type { HostPort } from '../../server/index.ts';

/** `host:port`, `[v6]:port`. Port 0 is allowed where the system may choose. */
export function parseHostPort(option: string, text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port <= 65_535) return { host, port };
  throw new RestoreError('INVALID', `${option} takes HOST:PORT`, {
    where: { found: text, expected: 'such as 127.0.0.1:3260 or [::1]:3260' },
  });
}

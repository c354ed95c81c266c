import type { HostPort } from './iscsi-messages.ts';

/** As initiators and people write it, with brackets around an IPv6 address. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

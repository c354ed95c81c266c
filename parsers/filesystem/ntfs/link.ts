import type { LinkTarget } from '../../../core/index.ts';
import type { ReparsePoint } from './reparse.ts';

/** Where a reparse point leads, `undefined` when it is no link. */
export function linkOf(reparse: ReparsePoint): LinkTarget | undefined {
  if (reparse.kind === 'posix-link') return { target: reparse.target, style: 'posix' };
  if (reparse.kind !== 'symbolic-link' && reparse.kind !== 'junction') return undefined;
  return { target: readable(reparse.target), style: 'windows' };
}

const NATIVE_PREFIX = '\\??\\';

/**
 * A target as programs write it. What is stored is a name of the kernel's: `\??\C:\Users`,
 * `\??\UNC\server\share`, `\??\Volume{…}\`. The name for display beside it is not gone by: it may say
 * anything.
 */
function readable(target: string): string {
  if (!target.startsWith(NATIVE_PREFIX)) return target;
  const rest = target.slice(NATIVE_PREFIX.length);
  if (/^[A-Za-z]:/.test(rest)) return rest;
  if (/^UNC\\/i.test(rest)) return `\\${rest.slice('UNC'.length)}`;
  return `\\\\?\\${rest}`;
}

import { storeCompiledCode } from './compile-cache.ts';

/**
 * Gives up for good what a process needs to start and nothing later: to store its compiled code. To be
 * called before anything of others is read.
 *
 * Ends the process when it runs without Node's permission model: it must not parse anything then.
 */
export function giveUpStartRights(): void {
  const permission: unknown = process.permission;
  if (permission === undefined) {
    process.stderr.write('rehydrate: an inspector must run under --permission\n');
    process.exit(1);
  }
  storeCompiledCode();
  (permission as { drop(scope: string): void }).drop('fs.write');
}

/** The only place that looks at the environment. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** Where what can be rebuilt is kept: `$XDG_CACHE_HOME/rehydrate`, else `~/.cache/rehydrate`. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  return path.join(base, 'rehydrate');
}

/** The socket of the running service: `$REHYDRATE_CONTROL`, else one in the run-time folder. */
export function controlSocket(): string {
  const given = process.env['REHYDRATE_CONTROL'];
  if (given !== undefined && given !== '') return given;
  const runtime = process.env['XDG_RUNTIME_DIR'];
  if (runtime !== undefined && existsSync(runtime)) return path.join(runtime, 'rehydrate.sock');
  if (process.getuid?.() === 0) return '/run/rehydrate.sock';
  return path.join(cacheFolder(), 'control.sock');
}

/** Where the service keeps what must outlive it: `$XDG_STATE_HOME/rehydrate`, or a default. */
export function stateFolder(): string {
  const base = process.env['XDG_STATE_HOME'];
  if (base !== undefined && base !== '') return path.join(base, 'rehydrate');
  if (process.getuid?.() === 0) return '/var/lib/rehydrate';
  return path.join(homedir(), '.local/state/rehydrate');
}

export function passphraseFromEnvironment(): string | undefined {
  return process.env['REHYDRATE_PASSPHRASE'];
}

/** Node's cache of compiled code, which halves the time to start. */
// oxlint-disable-next-line no-restricted-imports -- neither createRequire nor hooks: the cache alone
import module from 'node:module';

/** Where this process keeps compiled code; `undefined` when it does not. */
export function compileCacheFolder(): string | undefined {
  return module.getCompileCacheDir();
}

/** Stores now what would be stored at the process's end. */
export function storeCompiledCode(): void {
  module.flushCompileCache();
}

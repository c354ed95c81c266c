/**
 * Captures a raw file into a fresh repository, serves it as users do, and prints where, as one line of
 * JSON. With a cache larger than the disk, the disk is read once first, so that its blocks are warm.
 *
 * `node bench/iscsi/server-rehydrate.ts --codec zstd --cache-mib 512 [--writable] FILE`; ends when its
 * standard input does. `--repository FOLDER` serves one that already holds the file.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { ServerReady } from './servers.ts';

const MIB = 1024 * 1024;
const REHYDRATE = path.resolve(import.meta.dirname, '../../bin/rehydrate');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    codec: { type: 'string', default: 'zstd' },
    repository: { type: 'string' },
    'cache-mib': { type: 'string', default: '512' },
    writable: { type: 'boolean', default: false },
  },
});
const [file] = positionals;
if (file === undefined) throw new Error('usage: server-rehydrate.ts [--codec C] FILE');
const folder = mkdtempSync(path.join(tmpdir(), 'rehydrate-bench-'));
const repository = values.repository ?? path.join(folder, 'repository');
const control = path.join(folder, 'control.sock');
const environment = { ...process.env, XDG_CACHE_HOME: folder, XDG_STATE_HOME: folder };

function rehydrate(...args: readonly string[]): unknown {
  const output = execFileSync(REHYDRATE, [...args, '--json'], { env: environment });
  return JSON.parse(output.toString());
}

if (values.repository === undefined) {
  rehydrate('init', repository, '--codec', values.codec);
  rehydrate('capture', repository, file, '--machine', 'bench');
}
const service = spawn(
  REHYDRATE,
  [
    ...['serve', repository, '--iscsi-listen', '127.0.0.1:0', '--control', control],
    ...['--cache', values['cache-mib'], '--json'],
  ],
  { env: environment, stdio: ['ignore', 'pipe', 'ignore'] },
);
const line = await new Promise<string>((resolve) =>
  createInterface({ input: service.stdout }).once('line', resolve),
);
const { iscsiProcessId } = JSON.parse(line) as { iscsiProcessId: number };
const opened = rehydrate(
  ...['export', 'bench@latest', '--iscsi', '--control', control],
  ...(values.writable ? ['--writable'] : []),
) as ServerReady;
if (Number(values['cache-mib']) * MIB > statSync(file).size && opened.chap !== undefined) {
  const { user, secret } = opened.chap;
  const url = `iscsi://${user}%${secret}@${opened.portal}/${opened.iqn}/${opened.lun}`;
  execFileSync('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file, url]);
}
const { portal, iqn, lun, chap } = opened;
console.log(
  JSON.stringify({
    portal,
    iqn,
    lun,
    ...(chap === undefined ? {} : { chap }),
    pid: iscsiProcessId,
  }),
);
process.stdin.on('end', () => {
  service.once('exit', () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  });
  service.kill('SIGTERM');
});
process.stdin.resume();

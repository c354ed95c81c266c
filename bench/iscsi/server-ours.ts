/**
 * Serves a raw file from memory over iSCSI and prints where, as one line of JSON.
 *
 * `node bench/iscsi/server-ours.ts FILE`; ends when its standard input does.
 */
import { identityOf, IscsiTarget } from '../../iscsi/index.ts';
import { MemoryBlocks } from './memory-blocks.ts';
import type { ServerReady } from './servers.ts';

const BLOCK_BYTES = 64 * 1024;
const iqn = 'iqn.2026-01.bench:ours';
const chap = { user: 'bench', secret: 'bench-secret-1' };
const quiet = (): void => {};
const report = (fields: object, message: string): void => console.error(message, fields);

const path = process.argv[2];
if (path === undefined) throw new Error('usage: server-ours.ts FILE');
const target = await IscsiTarget.start({
  portals: [{ host: '127.0.0.1', port: 0 }],
  logger: { debug: quiet, info: quiet, warn: report, error: report },
});
const device = new MemoryBlocks(path, BLOCK_BYTES);
target.addExport({ iqn, readOnly: false, device, identity: identityOf(path), chap });
const ready: ServerReady = {
  portal: `127.0.0.1:${target.portals[0]?.port}`,
  iqn,
  lun: 0,
  chap,
  pid: process.pid,
};
console.log(JSON.stringify(ready));
process.stdin.on('end', () => void target.close().then(() => process.exit(0)));
process.stdin.resume();

import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { RestoreError } from '../../../core/index.ts';
import { findTool, freePort, run } from '../../fixtures/tools/index.ts';

/** One raw file, served by tgtd on the loopback address with CHAP. */
export interface TgtdTarget {
  readonly iqn: string;
  readonly port: number;
  stop(): Promise<void>;
}

export interface TgtdOptions {
  readonly disk: string;
  readonly user: string;
  readonly secret: string;
  /** What the target proves itself with to an initiator that asks for it. */
  readonly targetUser: string;
  readonly targetSecret: string;
}

/** Why tgtd cannot run here, or `undefined` when it can. */
export function tgtdUnavailable(): string | undefined {
  if (findTool('tgtd') === undefined) return 'tgtd is not installed';
  if (process.getuid?.() !== 0) return 'tgtd needs root for its control socket';
  return undefined;
}

/** Starts a tgtd of its own, with its own control port, that offers `disk` as LUN 1, read-only. */
export async function startTgtd(options: TgtdOptions): Promise<TgtdTarget> {
  const port = await freePort();
  // tgtd's control port is a number in a socket's name; the TCP port is as unique as needed.
  const control = String(port % 32_768);
  const iqn = 'iqn.2026-01.test.rehydrate:guest-harness';
  const daemon = spawn(findTool('tgtd') ?? 'tgtd', [
    ...['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`],
  ]);
  const admin = (...args: string[]): Promise<unknown> =>
    run('tgtadm', ['-C', control, '--lld', 'iscsi', ...args], { timeoutMs: 10_000 });
  try {
    await answering(admin, daemon);
    await admin('--op', 'new', '--mode', 'target', '--tid', '1', '-T', iqn);
    const unit = ['--mode', 'logicalunit', '--tid', '1', '--lun', '1'];
    await admin('--op', 'new', ...unit, '-b', options.disk);
    await admin('--op', 'update', ...unit, '--params', 'readonly=1');
    const account = ['--mode', 'account', '--user', options.user];
    await admin('--op', 'new', ...account, '--password', options.secret);
    await admin('--op', 'bind', ...account, '--tid', '1');
    await admin('--op', 'bind', ...account); // for discovery
    const own = ['--mode', 'account', '--user', options.targetUser];
    await admin('--op', 'new', ...own, '--password', options.targetSecret);
    await admin('--op', 'bind', ...own, '--tid', '1', '--outgoing');
    await admin('--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL');
  } catch (error) {
    await ended(daemon);
    throw error;
  }
  return { iqn, port, stop: () => ended(daemon) };
}

async function answering(
  admin: (...args: string[]) => Promise<unknown>,
  daemon: ChildProcess,
): Promise<void> {
  for (let tries = 0; tries < 50 && daemon.exitCode === null; tries++) {
    const ready = await admin('--op', 'show', '--mode', 'sys').then(
      () => true,
      () => false,
    );
    if (ready) return;
    await delay(100);
  }
  throw new RestoreError('IO', 'tgtd does not answer on its control port');
}

/** tgtd ignores SIGTERM while targets are bound, so it is killed; it keeps no state. */
function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    daemon.once('exit', () => resolve());
    daemon.kill('SIGKILL');
  });
}

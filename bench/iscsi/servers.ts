import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** What a server prints, as one line of JSON, once it can be logged in to. */
export interface ServerReady {
  /** `host:port`. */
  readonly portal: string;
  readonly iqn: string;
  readonly lun: number;
  readonly chap?: { readonly user: string; readonly secret: string };
  /** Whose CPU time and memory are counted; the started process when absent. */
  readonly pid?: number;
}

/** Where and as whom to log in. */
export interface IscsiLogin {
  readonly port: number;
  readonly iqn: string;
  readonly lun: number;
  readonly chap?: { readonly user: string; readonly secret: string };
}

export interface RunningServer {
  /** For a client that speaks iSCSI itself; absent for other protocols. */
  readonly login?: IscsiLogin;
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;
const TGTD_CONTROL_PORT = 7177;
const TGTD_IQN = 'iqn.2026-01.bench:tgtd';

/** Starts any command that prints {@link ServerReady}; it is stopped by closing its input. */
export async function startCommand(command: readonly string[]): Promise<RunningServer> {
  const [program, ...args] = command;
  if (program === undefined) throw new Error('the server command is empty');
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ready = JSON.parse(await firstLine(child)) as ServerReady;
  const login = ready.chap === undefined ? '' : `${ready.chap.user}%${ready.chap.secret}@`;
  return {
    url: `iscsi://${login}${ready.portal}/${ready.iqn}/${ready.lun}`,
    login: { ...ready, port: Number(ready.portal.split(':').at(-1)) },
    pid: ready.pid ?? (child.pid as number),
    stop: () => stop(child, () => child.stdin?.end()),
  };
}

/** Starts tgtd on a raw file, with its default of 16 threads, on a control port of its own. */
export async function startTgtd(path: string): Promise<RunningServer> {
  const port = await freePort();
  const control = String(TGTD_CONTROL_PORT);
  const child = spawn('tgtd', ['-f', '-C', control, '--iscsi', `portal=127.0.0.1:${port}`], {
    stdio: 'ignore',
  });
  const admin = (...args: string[]): number | null =>
    spawnSync('tgtadm', ['-C', control, '--lld', 'iscsi', ...args]).status;
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (admin('--mode', 'sys', '--op', 'show') !== 0) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error('tgtd does not start');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const steps = [
    ['--mode', 'target', '--op', 'new', '--tid', '1', '-T', TGTD_IQN],
    ['--mode', 'logicalunit', '--op', 'new', '--tid', '1', '--lun', '1', '-b', path],
    ['--mode', 'target', '--op', 'bind', '--tid', '1', '-I', 'ALL'],
  ];
  for (const step of steps)
    if (admin(...step) !== 0) throw new Error(`tgtadm failed: ${step.join(' ')}`);
  return {
    url: `iscsi://127.0.0.1:${port}/${TGTD_IQN}/1`,
    login: { port, iqn: TGTD_IQN, lun: 1 },
    pid: child.pid as number,
    stop: () =>
      stop(child, () => {
        admin('--mode', 'target', '--op', 'delete', '--force', '--tid', '1');
        admin('--mode', 'sys', '--op', 'delete');
      }),
  };
}

export async function stop(child: ChildProcess, ask: () => void): Promise<void> {
  const exited = once(child, 'exit');
  ask();
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await exited;
  clearTimeout(timer);
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('the server has no output');
  const lines = createInterface({ input: child.stdout });
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  try {
    for await (const line of lines) return line;
    throw new Error('the server ended before it was ready');
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves once somebody listens. */
export async function waitForPort(port: number): Promise<void> {
  for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline; ) {
    const socket = connect(port, '127.0.0.1');
    const answered = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

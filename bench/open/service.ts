import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** What the service answers about an opened disk, as far as the bench needs it. */
export interface Opened {
  readonly iqn: string;
  readonly portal: string;
  readonly chap: { readonly user: string; readonly secret: string };
}

export const REHYDRATE: string = path.join(import.meta.dirname, '../../bin/rehydrate');
const TIMEOUT_MS = 30_000;

/** A freshly started `rehydrate serve`. */
export class BenchService {
  readonly control: string;
  readonly iscsiProcessId: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, control: string, iscsiProcessId: number) {
    this.#child = child;
    this.control = control;
    this.iscsiProcessId = iscsiProcessId;
  }

  static async start(repository: string, control: string): Promise<BenchService> {
    const args = ['serve', repository, '--control', control, '--iscsi-listen', '127.0.0.1:0'];
    args.push('--state', `${control}-state`);
    const child = spawn(REHYDRATE, [...args, '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        const { iscsiProcessId } = JSON.parse(line) as { iscsiProcessId: number };
        return new BenchService(child, control, iscsiProcessId);
      }
      throw new Error('the service ended before it was ready');
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens a disk by the control interface, without the command's own start. */
  open(address: string): Promise<Opened> {
    const body = JSON.stringify({ address });
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    return new Promise((resolve, reject) => {
      const call = request(
        { socketPath: this.control, method: 'POST', path: '/v1/exports', headers },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            if (response.statusCode === 201) resolve(JSON.parse(text) as Opened);
            else reject(new Error(text));
          });
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  }

  /** Resident memory of the process that serves iSCSI. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.iscsiProcessId}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) * 1024;
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

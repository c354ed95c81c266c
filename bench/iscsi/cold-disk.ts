/** The disk that cold reads are measured on, and what serves it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, writeSync, closeSync } from 'node:fs';
import path from 'node:path';
import { freePort, type RunningServer, stop, waitForPort } from './servers.ts';

const MIB = 1024 * 1024;
const TAR_CHUNK_BYTES = 64 * MIB;
const REHYDRATE = path.resolve(import.meta.dirname, '../../bin/rehydrate');

/** The first bytes of a tar archive of a folder's files in the order of their names. */
export async function makeFilesDisk(file: string, sizeMib: number, source: string): Promise<void> {
  const wanted = sizeMib * MIB;
  const tar = spawn(
    'tar',
    ['--sort=name', '-cf', '-', '-C', path.dirname(source), path.basename(source)],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const output = openSync(file, 'w');
  let written = 0;
  for await (const chunk of tar.stdout as AsyncIterable<Buffer>) {
    const left = wanted - written;
    written += writeSync(output, chunk.subarray(0, Math.min(left, TAR_CHUNK_BYTES)));
    if (written >= wanted) break;
  }
  closeSync(output);
  tar.kill();
  if (written < wanted) throw new Error(`${source} holds less than ${sizeMib} MiB`);
}

/** A fresh repository with the file captured into it. */
export function makeRepository(folder: string, file: string, codec: string): string {
  const repository = path.join(folder, `repository-${codec}`);
  const env = { ...process.env, XDG_CACHE_HOME: folder, XDG_STATE_HOME: folder };
  const run = (...args: readonly string[]): void => {
    execFileSync(REHYDRATE, [...args, '--json'], { env, stdio: 'pipe' });
  };
  run('init', repository, '--codec', codec);
  run('capture', repository, file, '--machine', 'bench');
  return repository;
}

/** The same bytes in a qcow2 file, zstd-compressed. */
export function makeQcow2(folder: string, file: string): string {
  const image = path.join(folder, 'disk.qcow2');
  execFileSync('qemu-img', [
    ...['convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd'],
    ...[file, image],
  ]);
  return image;
}

export async function startQemuNbd(image: string): Promise<RunningServer> {
  const port = await freePort();
  const child = spawn(
    'qemu-nbd',
    [
      '--read-only',
      '--persistent',
      '--shared=8',
      '-b',
      '127.0.0.1',
      '-p',
      `${port}`,
      '-f',
      'qcow2',
      image,
    ],
    { stdio: 'ignore' },
  );
  await once(child, 'spawn');
  await waitForPort(port);
  return {
    url: `nbd://127.0.0.1:${port}`,
    pid: child.pid as number,
    stop: () => stop(child, () => child.kill('SIGTERM')),
  };
}

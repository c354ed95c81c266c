import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BytesSource } from '../core/index.ts';
import { NativeRepository } from '../store-reader/index.ts';
import { Scratch, TestRepository } from '../test/fixtures/repository.ts';
import { findTool, run } from '../test/fixtures/tools/index.ts';
import type { ExportRecord } from './export-request.ts';
import { Exports } from './exports.ts';
import { IscsiSupervisor } from './iscsi-supervisor.ts';
import type { Logger } from './logger.ts';
import { ServiceState } from './state.ts';

/** Every 64 KiB are full of a number of their own, which qemu-io checks with `read -P`. */
const BLOCK = 65_536;
const CONTENT = new Uint8Array(BLOCK * 64).map((_, at) => 1 + Math.floor(at / BLOCK));
const noQemu = findTool('qemu-io') === undefined ? 'qemu-io is not installed' : undefined;

const lines: string[] = [];
const note = (fields: object, message: string): void => {
  lines.push(`${message} ${JSON.stringify(fields)}`);
};
const logger: Logger = { info: note, warn: note, error: note };

let scratch: Scratch;
let repository: NativeRepository;
let iscsi: IscsiSupervisor;
let opened: ExportRecord;
let exports: Exports;
beforeAll(async () => {
  scratch = new Scratch();
  const made = await TestRepository.create(scratch);
  await made.capture('m', [new BytesSource(CONTENT)]);
  repository = await NativeRepository.open(made.location);
});
afterAll(async () => {
  await repository.close();
  scratch[Symbol.dispose]();
});

// A supervisor of its own for every test: restarts are spaced out the more of them there were.
beforeEach(async (context) => {
  context.skip(noQemu !== undefined, noQemu);
  iscsi = await IscsiSupervisor.start(
    {
      repository: repository.backend.location,
      credential: undefined,
      listen: { host: '127.0.0.1', port: 0 },
      advertise: undefined,
      cacheBytes: BLOCK,
    },
    logger,
  );
  const state = new ServiceState(scratch.file('state'), repository.record.id);
  exports = new Exports({ repository, iscsi, state, logger, advertise: undefined });
  opened = await exports.open({ address: 'm@latest' });
});
afterEach(() => {
  exports.close();
  return iscsi.stop();
});

const urlOf = ({ chap, portal, iqn, lun }: ExportRecord): string =>
  `iscsi://${chap.user}%${chap.secret}@${portal}/${iqn}/${lun}`;
const readBlock = (block: number): string => `read -P ${block + 1} ${block * BLOCK} ${BLOCK}`;

async function readOnce(block: number): Promise<string> {
  const args = ['-r', '-f', 'raw', '-c', readBlock(block), urlOf(opened)];
  return (await run('qemu-io', args, { timeoutMs: 15_000 })).stdout;
}

/** Kills the process and waits until the supervisor has another. */
async function killIscsi(): Promise<void> {
  const before = iscsi.processId as number;
  process.kill(before, 'SIGKILL');
  await until(() => iscsi.processId !== before);
}

async function until(isSo: () => boolean): Promise<void> {
  for (let waited = 0; !isSo(); waited += 20) {
    if (waited > 20_000) throw new Error('it did not come to that in 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('an iSCSI process that is killed', () => {
  it('comes back at the same portal with the same export and secret', async () => {
    expect(await readOnce(3)).toContain('read 65536/65536 bytes');
    const portal = { ...iscsi.portal };
    for (const block of [5, 6]) {
      await killIscsi();
      // Waits for the new process, so that reads meet one that listens.
      expect((await iscsi.activity()).map(({ iqn }) => iqn)).toEqual([opened.iqn]);
      expect(iscsi.portal).toEqual(portal);
      const output = await readOnce(block);
      expect(output).toContain('read 65536/65536 bytes');
      expect(output).not.toContain('verification failed');
    }
    expect(lines.some((line) => line.startsWith('the iSCSI process is back'))).toBe(true);
    expect(lines.join('\n')).not.toContain(opened.chap.secret);
  });

  it('does not end an initiator’s session: its reads go on', { timeout: 60_000 }, async () => {
    const client = spawn('qemu-io', ['-r', '-f', 'raw', urlOf(opened)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    try {
      const output = collect(client);
      // One command at a time: qemu-io sleeps on lines that its buffer holds already.
      const readHere = async (block: number): Promise<void> => {
        client.stdin?.write(`${readBlock(block)}\n`);
        await until(() => output().includes(`read 65536/65536 bytes at offset ${block * BLOCK}`));
      };
      await readHere(10);
      await killIscsi();
      await readHere(11);
      await readHere(12);
      expect(output()).not.toContain('verification failed');
    } finally {
      client.kill('SIGKILL');
    }
  });

  it('is waited for by what is asked of it meanwhile, and does not forget what was revoked', async () => {
    const second = await exports.open({ address: 'm@latest', chapUser: 'dba' });
    expect(second.iqn).not.toBe(opened.iqn);
    await killIscsi();
    await exports.revoke(second.id);
    await killIscsi();
    const third = await exports.open({ address: 'm@latest', chapUser: 'third' });
    const open = (await iscsi.activity()).map(({ iqn }) => iqn);
    expect(open.toSorted()).toEqual([opened.iqn, third.iqn].toSorted());
    await exports.revoke(third.id);
  });
});

function collect(client: ChildProcess): () => string {
  let text = '';
  for (const stream of [client.stdout, client.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  return () => text;
}

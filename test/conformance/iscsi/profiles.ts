/** What is held against libiscsi's conformance suite, and where the outcomes are kept. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache } from '../../../core/index.ts';
import { Cli } from '../../e2e/command/harness.ts';
import { randomDisk, startTarget } from '../../e2e/iscsi/fixture.ts';
import { MemoryDevice } from '../../e2e/iscsi/memory-device.ts';
import { randomBytes } from '../../fixtures/random.ts';
import { Scratch } from '../../fixtures/repository.ts';
import { conform, type TestResult } from './tool.ts';

const LISTS = join(import.meta.dirname, '../../../docs/conformance');
const IQN = 'iqn.2026-01.test:conformance';
const WRITABLE_BYTES = 1024 ** 3 + 65_536;
const READ_ONLY_BYTES = 16 * 1024 * 1024;

export interface Profile {
  readonly name: string;
  /** The committed outcomes: test, outcome, why; by tabs. */
  readonly list: string;
  run(): Promise<readonly TestResult[]>;
}

export const PROFILES: readonly Profile[] = [
  {
    name: 'writable, over two portals',
    list: join(LISTS, 'iscsi-writable.tsv'),
    run: () => runWritable(undefined, ['--dataloss']),
  },
  {
    name: 'writable, told to be of 4 KiB physical blocks',
    list: join(LISTS, 'iscsi-writable-4k.tsv'),
    run: () => runWritable(4096, ['--dataloss', '-t', 'ALL']),
  },
  {
    name: 'read-only',
    list: join(LISTS, 'iscsi-read-only.tsv'),
    run: () => runReadOnly(['-t', 'ALL']),
  },
  {
    name: 'read-only, all its commands sent',
    list: join(LISTS, 'iscsi-read-only-dataloss.tsv'),
    run: () => runReadOnly(['--dataloss', '-t', 'ALL.ReadOnly']),
  },
  {
    name: 'a restore point opened writable by the service',
    list: join(LISTS, 'iscsi-service-writable.tsv'),
    run: () => runService(['--dataloss', '-t', 'ALL'], '--writable'),
  },
  {
    name: 'a restore point opened by the service',
    list: join(LISTS, 'iscsi-service-read-only.tsv'),
    run: () => runService(['-t', 'ALL']),
  },
  {
    name: 'a restore point opened by the service, all commands sent',
    list: join(LISTS, 'iscsi-service-read-only-dataloss.tsv'),
    run: () => runService(['--dataloss', '-t', 'ALL.ReadOnly']),
  },
];

async function runWritable(
  physicalBlockBytes: 4096 | undefined,
  options: readonly string[],
): Promise<readonly TestResult[]> {
  const portal = { host: '127.0.0.1', port: 0 };
  const fixture = await startTarget({ portals: [portal, portal] });
  try {
    const extra = physicalBlockBytes === undefined ? {} : { physicalBlockBytes };
    fixture.add(IQN, new MemoryDevice(WRITABLE_BYTES), extra);
    const urls = fixture.target.portals.map(({ port }) => fixture.url(IQN, port));
    return await conform(urls, options);
  } finally {
    await fixture.target.close();
  }
}

async function runReadOnly(options: readonly string[]): Promise<readonly TestResult[]> {
  const fixture = await startTarget();
  try {
    // A source that knows its holes, as restore points do: the unit is thin.
    const { source } = randomDisk(21, READ_ONLY_BYTES);
    fixture.add(IQN, cache(source, { budgetBytes: READ_ONLY_BYTES }));
    return await conform([fixture.url(IQN)], options);
  } finally {
    await fixture.target.close();
  }
}

/** The whole product: a repository, `rehydrate serve`, `rehydrate export`. */
async function runService(
  options: readonly string[],
  ...exportOptions: readonly string[]
): Promise<readonly TestResult[]> {
  using scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  const control = scratch.file('control.sock');
  const disk = scratch.file('disk.raw');
  writeFileSync(disk, randomBytes(READ_ONLY_BYTES, 22));
  truncateSync(disk, WRITABLE_BYTES);
  await cli.json('init', repository);
  await cli.json('capture', repository, disk, '--machine', 'm');
  const service = await cli.serve(repository, control);
  try {
    const { portal, iqn, lun, chap } = await cli.json<Opened>(
      ...['export', 'm@latest', '--iscsi', '--control', control],
      ...exportOptions,
    );
    const url = `iscsi://${chap.user}%${chap.secret}@${portal}/${iqn}/${lun}`;
    return await conform([url], options);
  } finally {
    await service.stop();
  }
}

interface Opened {
  readonly portal: string;
  readonly iqn: string;
  readonly lun: number;
  readonly chap: { readonly user: string; readonly secret: string };
}

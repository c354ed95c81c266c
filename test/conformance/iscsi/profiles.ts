/** What is held against libiscsi's conformance suite, and where the outcomes are kept. */
import { join } from 'node:path';
import { cache } from '../../../core/index.ts';
import { randomDisk, startTarget } from '../../e2e/iscsi/fixture.ts';
import { MemoryDevice } from '../../e2e/iscsi/memory-device.ts';
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
    run: () => runWritable(512, ['--dataloss']),
  },
  {
    name: 'writable, of 4 KiB physical blocks',
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
];

async function runWritable(
  physicalBlockBytes: 512 | 4096,
  options: readonly string[],
): Promise<readonly TestResult[]> {
  const portal = { host: '127.0.0.1', port: 0 };
  const fixture = await startTarget({ portals: [portal, portal] });
  try {
    fixture.add(IQN, new MemoryDevice(WRITABLE_BYTES), { physicalBlockBytes });
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

/** A directory with very many files, listed by an inspector that may use little memory. */
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Inspector, type InspectRequestName, type InspectRequests } from '../../server/index.ts';
import { makeExt } from '../fixtures/file-systems/ext.ts';
import { LoopDevice } from '../fixtures/loop-device.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { Cli, EXIT } from './command/harness.ts';

const MIB = 1024 * 1024;
const FILES = 150_000;
/** Of the whole process; a million files have 512 MiB. */
const MEMORY_BYTES = 300 * MIB;

const scratch = new Scratch();
const repository = scratch.file('repository');
let missing: string | undefined;

/** In no order, as a mail spool has them. */
function nameOf(index: number): string {
  const random = Math.imul(index, 2_654_435_761) >>> 0;
  return `message-${random.toString(16).padStart(8, '0')}-${index}.eml`;
}
const NAMES = Array.from({ length: FILES }, (_, index) => nameOf(index)).sort();

beforeAll(async () => {
  missing = await LoopDevice.missing(scratch.file('device'));
  if (missing !== undefined) return;
  const image = await makeExt(scratch.path, 'many', {
    sizeBytes: 160 * MIB,
    mkfs: ['-t', 'ext4', '-O', '^has_journal', '-N', String(FILES + 1000)],
    fill: (root) => {
      mkdirSync(path.join(root, 'spool/inner'), { recursive: true });
      for (const name of NAMES) closeSync(openSync(path.join(root, 'spool', name), 'w'));
    },
  });
  const cli = new Cli(scratch);
  expect((await cli.run('init', repository)).status).toBe(EXIT.ok);
  expect((await cli.run('capture', repository, image, '--machine', 'mail')).status).toBe(EXIT.ok);
}, 120_000);
afterAll(() => scratch[Symbol.dispose]());

/** What an inspector of little memory writes. */
async function answer<K extends InspectRequestName>(
  name: K,
  body: InspectRequests[K],
): Promise<string> {
  const limits = { memoryBytes: MEMORY_BYTES };
  const options = { repository, credential: undefined, output: 'pipe', limits } as const;
  const inspector = Inspector.start(options);
  try {
    const written = text(inspector.output as NonNullable<Inspector['output']>);
    const outcome = await inspector.request(name, body);
    expect(outcome).toEqual({ failures: 0 });
    await inspector.close();
    return await written;
  } finally {
    await inspector.close();
  }
}

const addresses = ['mail@latest:/spool'];
const LISTING = { addresses, recursive: false, directory: false, time: 'modified' } as const;

describe('a directory of very many files', () => {
  beforeEach((context) => context.skip(missing !== undefined, missing));

  it('is listed with all that is known, in the order of names', async () => {
    const written = await answer('list', { ...LISTING, json: false, long: true });
    const lines = written.trimEnd().split('\n');
    const files = lines.filter((line) => line.startsWith('-'));
    expect(files.map((line) => line.slice(line.lastIndexOf(' ') + 1))).toEqual(NAMES);
    expect(lines.length).toBe(FILES + 1);
    expect(new Set(files.map((line) => line.indexOf('message-'))).size).toBe(1);
  });

  it('is one JSON document', async () => {
    const written = await answer('list', { ...LISTING, json: true, long: false });
    const { listings } = JSON.parse(written) as { listings: { entries: { name: string }[] }[] };
    expect(listings.map(({ entries }) => entries.length)).toEqual([FILES + 1]);
    const names = listings[0]?.entries.map(({ name }) => name);
    expect(names).toEqual([...NAMES, 'inner'].sort());
  });

  it('is drawn', async () => {
    const lines = (await answer('tree', { addresses, json: false, depthMax: undefined })).split(
      '\n',
    );
    expect(lines[1]).toBe('├── inner');
    expect(lines.slice(2, FILES + 2)).toEqual(
      NAMES.map((name, index) => `${index === FILES - 1 ? '└' : '├'}── ${name}`),
    );
    expect(lines.slice(FILES + 2)).toEqual(['', `1 directories, ${FILES} files`, '']);
  });

  it.for([
    ['zip', 'unzip', '-Z1'],
    ['tar', 'tar', '-tf'],
  ] as const)(
    'is one %s archive, more members than 16 bits count',
    async ([format, tool, list]) => {
      const cli = new Cli(scratch);
      const { status, stdout } = await cli.run(format, repository, ...addresses);
      expect(status).toBe(EXIT.ok);
      const archive = scratch.file(`archive.${format}`);
      writeFileSync(archive, stdout);
      const names = (await run(tool, [list, archive])).stdout.trim().split('\n');
      const files = names.map((name) => name.replace(/^\.\//, ''));
      expect(files.filter((name) => name.endsWith('.eml')).sort()).toEqual(NAMES);
    },
  );
});

/** The target as stock initiators see it: qemu-img and libiscsi's tools. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cache, faulty } from '../../core/index.ts';
import { findTool, run } from '../fixtures/tools/index.ts';
import { randomDisk, SECRET, startTarget, type TargetFixture, USER } from './iscsi/fixture.ts';

const TOOLS = ['qemu-img', 'iscsi-ls', 'iscsi-inq', 'iscsi-readcapacity16'];
const missing = TOOLS.filter((name) => findTool(name) === undefined);
const MEMORY = 'iqn.2026-01.test:memory';
const CACHED = 'iqn.2026-01.test:cached';
const OPEN = 'iqn.2026-01.test:open';
const disk = randomDisk(1);
const other = randomDisk(2);

let fixture: TargetFixture;
let folder: string;
let image: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'rehydrate-iscsi-'));
  image = path.join(folder, 'disk.raw');
  await writeFile(image, disk.data);
  fixture = await startTarget();
  fixture.add(MEMORY, disk.source, { alias: 'memory' });
  // Misses go through readInto, later reads through peek, in blocks of 64 KiB.
  const slow = faulty(disk.source, [{ delayMs: 1, delayOnly: true }]);
  fixture.add(CACHED, cache(slow, { budgetBytes: 4 * 1024 * 1024 }));
  fixture.target.addExport({
    iqn: OPEN,
    readOnly: true,
    source: other.source,
    identity: { serial: 'open-serial-1', naa: '3000000000000042' },
    noAuthentication: true,
  });
});

afterAll(async () => {
  await fixture.target.close();
  await rm(folder, { recursive: true });
});

beforeEach((context) => {
  context.skip(missing.length > 0, `not installed: ${missing.join(', ')}`);
});

/** qemu's long form, which can ask for digests. */
function qemuOptions(iqn: string, secret: string, digest: string): readonly string[] {
  const portal = `127.0.0.1:${fixture.port}`;
  return [
    '--object',
    `secret,id=chap,data=${secret}`,
    '--image-opts',
    `driver=iscsi,transport=tcp,portal=${portal},target=${iqn},lun=0,user=${USER},password-secret=chap,header-digest=${digest}`,
    `driver=raw,file.driver=file,file.filename=${image}`,
  ];
}

describe('qemu-img', () => {
  it.each([MEMORY, CACHED])('reads every byte of %s through CHAP', async (iqn) => {
    const { stdout } = await run('qemu-img', [
      'compare',
      '-f',
      'raw',
      '-F',
      'raw',
      image,
      fixture.url(iqn),
    ]);
    expect(stdout).toContain('Images are identical.');
  });

  it('tells another disk apart', async () => {
    const url = `iscsi://127.0.0.1:${fixture.port}/${OPEN}/0`;
    const args = ['compare', '-f', 'raw', '-F', 'raw', image, url];
    const { exitCode, stdout } = await run('qemu-img', args, { accept: [0, 1] });
    expect(exitCode).toBe(1);
    expect(stdout).toContain('Content mismatch at offset 0');
  });

  it.each(['crc32c', 'none', 'crc32c-none'])('reads with header digest %s', async (digest) => {
    const { stdout } = await run('qemu-img', ['compare', ...qemuOptions(MEMORY, SECRET, digest)]);
    expect(stdout).toContain('Images are identical.');
  });

  it.each([
    ['4096', '32', '20000'],
    ['4096', '1', '2000'],
    ['65536', '16', '2000'],
    ['1048576', '8', '200'],
    ['3584', '32', '5000'],
  ])('keeps its queue full: %s bytes, depth %s', async (size, depth, count) => {
    // The step keeps the odd size inside the disk when it wraps.
    const step = String(2 ** Math.ceil(Math.log2(Number(size))));
    const args = ['bench', '-f', 'raw', '-s', size, '-S', step, '-d', depth, '-c', count];
    args.push(fixture.url(CACHED));
    const { stdout } = await run('qemu-img', args);
    expect(stdout).toContain('Run completed');
  });

  it('cannot write, and is told that the disk is write-protected', async () => {
    const args = ['bench', '-w', '-f', 'raw', '-c', '1', fixture.url(MEMORY)];
    const { exitCode, stderr } = await run('qemu-img', args, { accept: [1] });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/write protected/i);
  });

  it.each([
    ['a wrong secret', `${USER}%wrong-secret-1@`],
    ['a wrong user', `nobody%${SECRET}@`],
    ['no credentials', ''],
  ])('is refused with %s', async (_, login) => {
    const url = `iscsi://${login}127.0.0.1:${fixture.port}/${MEMORY}/0`;
    const { stderr } = await run('qemu-img', ['info', url], { accept: [1] });
    expect(stderr).toContain('Authentication failure(513)');
  });
});

describe('libiscsi', () => {
  it('lists all targets to whoever has the credentials', async () => {
    const url = `iscsi://127.0.0.1:${fixture.port}/`;
    const env = { LIBISCSI_CHAP_USERNAME: USER, LIBISCSI_CHAP_PASSWORD: SECRET };
    const { stdout } = await run('iscsi-ls', [url], { env });
    const found = [...stdout.matchAll(/Target:(\S+) Portal:(\S+)/g)].map(([, name]) => name);
    expect(new Set(found)).toEqual(new Set([CACHED, MEMORY, OPEN]));
    expect(stdout).toContain(`Portal:127.0.0.1:${fixture.port},1`);
  });

  it('lists without credentials only what needs none', async () => {
    const { stdout } = await run('iscsi-ls', [`iscsi://127.0.0.1:${fixture.port}/`]);
    expect([...stdout.matchAll(/Target:(\S+)/g)].map(([, name]) => name)).toEqual([OPEN]);
  });

  it('shows LUN 0 and its size', async () => {
    const url = `iscsi://${USER}%${SECRET}@127.0.0.1:${fixture.port}/`;
    const { stdout } = await run('iscsi-ls', ['-s', url]);
    expect(stdout).toContain('Lun:0    Type:DIRECT_ACCESS (Size:7M)');
  });

  it('reads the capacity', async () => {
    const { stdout } = await run('iscsi-readcapacity16', [fixture.url(MEMORY)]);
    expect(stdout).toContain(`Total size:${disk.data.length}`);
    expect(stdout).toContain('LOGICAL BLOCK LENGTH IN BYTES:512');
  });

  it('tells two exports apart by serial and by device identification', async () => {
    const serial = async (iqn: string): Promise<string> =>
      (await run('iscsi-inq', ['-e', '1', '-c', '128', fixture.url(iqn)])).stdout;
    const identification = async (iqn: string): Promise<string> =>
      (await run('iscsi-inq', ['-e', '1', '-c', '131', fixture.url(iqn)])).stdout;
    expect(await serial(MEMORY)).toMatch(/Unit Serial Number:\[[0-9a-f]{32}\]/);
    expect(await serial(MEMORY)).toBe(await serial(MEMORY));
    expect(await serial(MEMORY)).not.toBe(await serial(CACHED));
    expect(await serial(OPEN)).toContain('[open-serial-1]');
    expect(await identification(MEMORY)).not.toBe(await identification(CACHED));
    expect(await identification(OPEN)).toContain('NAA');
  });

  it.each([
    ['0', 'Supported VPD page'],
    ['176', 'block limits'],
    ['177', 'block device characteristics'],
    ['178', 'logical block provisioning'],
  ])('reads vital product data page %s', async (page) => {
    const args = ['-e', '1', '-c', page, fixture.url(MEMORY)];
    const { stdout } = await run('iscsi-inq', args);
    expect(stdout).not.toContain('fail');
    expect(stdout.length).toBeGreaterThan(20);
  });
});

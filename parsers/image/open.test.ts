import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { BytesSource, type FileOpener, RestoreError, slice } from '../../core/index.ts';
import { openImage } from '../index.ts';

const CLUSTER_BYTES = 65536;

interface Qcow2Options {
  readonly backing?: string;
  readonly backingFormat?: string;
  readonly dataFile?: string;
  readonly incompatible?: bigint;
  readonly encryption?: number;
  readonly sizeBytes?: number;
  readonly featureNames?: readonly { readonly bit: number; readonly name: string }[];
}

/** A qcow2 of two clusters, header and L1 table, that holds nothing itself. */
function qcow2(options: Qcow2Options = {}): Buffer {
  const image = Buffer.alloc(2 * CLUSTER_BYTES);
  image.write('QFI\xfb', 0, 'latin1');
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(BigInt(options.sizeBytes ?? 1024 * 1024), 24);
  image.writeUInt32BE(options.encryption ?? 0, 32);
  image.writeUInt32BE(1, 36);
  image.writeBigUInt64BE(BigInt(CLUSTER_BYTES), 40);
  image.writeBigUInt64BE(options.incompatible ?? 0n, 72);
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(104, 100);
  let end = 104;
  const extension = (type: number, body: Buffer): void => {
    image.writeUInt32BE(type, end);
    image.writeUInt32BE(body.length, end + 4);
    body.copy(image, end + 8);
    end += 8 + Math.ceil(body.length / 8) * 8;
  };
  if (options.backingFormat !== undefined)
    extension(0xe2792aca, Buffer.from(options.backingFormat));
  if (options.dataFile !== undefined) extension(0x44415441, Buffer.from(options.dataFile));
  for (const { bit, name } of options.featureNames ?? []) {
    const entry = Buffer.alloc(48);
    entry[1] = bit;
    entry.write(name, 2);
    extension(0x6803f857, entry);
  }
  if (options.backing !== undefined) {
    const name = Buffer.from(options.backing);
    image.writeBigUInt64BE(4096n, 8);
    image.writeUInt32BE(name.length, 16);
    name.copy(image, 4096);
  }
  return image;
}

function memory(
  files: Readonly<Record<string, Uint8Array>>,
): FileOpener & { readonly opened: Set<string> } {
  const opened = new Set<string>();
  return {
    opened,
    async open(name) {
      const data = files[name];
      if (data === undefined) throw new RestoreError('NOT_FOUND', `no ${name}`);
      opened.add(name);
      const source = slice(new BytesSource(data), 0, data.byteLength);
      return Object.assign(Object.create(source) as typeof source, {
        size: data.byteLength,
        sectorSize: 512,
        readInto: source.readInto.bind(source),
        peek: source.peek.bind(source),
        extents: source.extents.bind(source),
        close: async () => void opened.delete(name),
      });
    },
    resolve: (from, reference) => path.posix.join(path.posix.dirname(from), reference),
  };
}

async function failure(
  name: string,
  files: Readonly<Record<string, Uint8Array>>,
  options?: Parameters<typeof openImage>[2],
): Promise<RestoreError> {
  const opener = memory(files);
  try {
    await openImage(name, opener, options);
  } catch (error) {
    expect([...opener.opened], 'files left open').toEqual([]);
    expect(error).toBeInstanceOf(RestoreError);
    return error as RestoreError;
  }
  return expect.fail(`${name} was opened`);
}

describe('what is no disk', () => {
  it.each([
    { what: 'an empty file', name: 'a.raw', data: Buffer.alloc(0), code: 'INVALID' },
    {
      what: 'a size that is not whole sectors',
      name: 'a.raw',
      data: Buffer.alloc(1000),
      code: 'INVALID',
    },
    { what: 'a disk of no bytes', name: 'a', data: qcow2({ sizeBytes: 0 }), code: 'INVALID' },
    { what: 'a VDI', name: 'a', data: at(0x40, '\x7f\x10\xda\xbe'), code: 'UNSUPPORTED' },
    { what: 'a gzip file', name: 'a', data: at(0, '\x1f\x8b\x08'), code: 'UNSUPPORTED' },
    { what: 'a name that promises more', name: 'a.vhd', data: at(0, 'x'), code: 'CORRUPT' },
    { what: 'a name that promises more', name: 'a.qcow2', data: at(0, 'x'), code: 'CORRUPT' },
  ])('refuses $what ($name)', async ({ name, data, code }) => {
    const error = await failure(name, { [name]: data });
    expect(error.code).toBe(code);
    expect(error.message).toContain(name);
    expect(error.hint).toMatch(/\w/u);
  });

  it('refuses an odd size even when raw is stated', async () => {
    const error = await failure('a', { a: Buffer.alloc(513) }, { format: 'raw' });
    expect(error).toMatchObject({ code: 'INVALID', where: { found: '513 bytes' } });
  });

  it('names a missing file', async () => {
    expect(await failure('gone', {})).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('refuses a format that there is not', async () => {
    const options = { format: 'vdi' as 'raw' };
    expect(await failure('a', { a: at(0, 'x') }, options)).toMatchObject({ code: 'INVALID' });
  });

  it.each(['qcow2', 'vmdk', 'vhd', 'vhdx'] as const)(
    'says so when it is no %s as stated',
    async (format) => {
      const error = await failure('a', { a: at(0, 'nothing') }, { format });
      expect(error.code).toBe('CORRUPT');
      expect(error.where.object).toBe('a');
    },
  );
});

describe('formats', () => {
  it('are found by content, whatever the name', async () => {
    const image = await openImage('disk.raw', memory({ 'disk.raw': qcow2() }));
    expect(image).toMatchObject({ format: 'qcow2', files: ['disk.raw'] });
    expect(image.source.size).toBe(1024 * 1024);
  });

  it('yield to raw when it is stated', async () => {
    const data = qcow2();
    const image = await openImage('disk', memory({ disk: data }), { format: 'raw' });
    expect(image).toMatchObject({ format: 'raw' });
    const read = Buffer.alloc(data.length);
    await image.source.readInto(read, 0);
    expect(read.equals(data)).toBe(true);
  });

  it('are raw for the data file of a flat VMDK', async () => {
    const image = await openImage('disk-flat.vmdk', memory({ 'disk-flat.vmdk': at(0, 'x') }));
    expect(image.format).toBe('raw');
  });
});

describe('chains', () => {
  const base = Buffer.alloc(512 * 3, 0x5a);

  it('show the parent, and zeros past its end', async () => {
    const opener = memory({
      'vm/top': qcow2({ backing: 'base', backingFormat: 'raw' }),
      'vm/base': base,
    });
    const { source, files } = await openImage('vm/top', opener);
    expect(files).toEqual(['vm/top', 'vm/base']);
    const read = Buffer.alloc(2048, 1);
    await source.readInto(read, 0);
    expect(read.equals(Buffer.concat([base, Buffer.alloc(512)]))).toBe(true);
    expect(await Array.fromAsync(source.extents(0, source.size))).toEqual([
      { offset: 0, length: 1536 },
    ]);
    await source.close();
    expect([...opener.opened]).toEqual([]);
  });

  it('name the child, the reference and the path when a parent is missing', async () => {
    const error = await failure('vm/top', {
      'vm/top': qcow2({ backing: '../base.img', backingFormat: 'raw' }),
    });
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toMatch(/vm\/top.*"\.\.\/base\.img".*base\.img/u);
    expect(error.hint).toContain('path');
  });

  it('may not be circles', async () => {
    const files = {
      a: qcow2({ backing: 'b', backingFormat: 'qcow2' }),
      b: qcow2({ backing: 'a', backingFormat: 'qcow2' }),
    };
    expect(await failure('a', files)).toMatchObject({
      code: 'CORRUPT',
      where: { object: 'b', found: 'a -> b -> a' },
    });
    const self = { a: qcow2({ backing: './a', backingFormat: 'qcow2' }) };
    expect(await failure('a', self)).toMatchObject({ code: 'CORRUPT' });
  });

  it('may not be longer than 256', async () => {
    const chain = (length: number): Record<string, Buffer> =>
      Object.fromEntries(
        Array.from({ length }, (_, index) => {
          const last = index === length - 1;
          return [
            `f${index}`,
            last
              ? base
              : qcow2({
                  backing: `f${index + 1}`,
                  backingFormat: index === length - 2 ? 'raw' : 'qcow2',
                }),
          ];
        }),
      );
    const image = await openImage('f0', memory(chain(256)));
    expect(image.files.length).toBe(256);
    const read = Buffer.alloc(512);
    await image.source.readInto(read, 0);
    expect(read.equals(base.subarray(0, 512))).toBe(true);
    expect(await failure('f0', chain(257))).toMatchObject({
      code: 'CORRUPT',
      where: { found: '257 files' },
    });
  });

  it('do not follow a header that a guest could have written', async () => {
    const files = {
      top: qcow2({ backing: 'guest' }),
      guest: qcow2({ backing: 'secret', backingFormat: 'raw' }),
      secret: base,
    };
    const error = await failure('top', files);
    expect(error).toMatchObject({ code: 'UNSUPPORTED', where: { object: 'guest' } });
    expect(error.hint).toContain('rebase');
    const stated = { ...files, top: qcow2({ backing: 'guest', backingFormat: 'qcow2' }) };
    expect((await openImage('top', memory(stated))).files).toEqual(['top', 'guest', 'secret']);
    const asRaw = { ...files, top: qcow2({ backing: 'guest', backingFormat: 'raw' }) };
    expect((await openImage('top', memory(asRaw))).files).toEqual(['top', 'guest']);
  });

  it.each(['json:{"driver":"nbd"}', 'nbd://host/x', 'https://host/x'])(
    'do not leave the machine: %s',
    async (backing) => {
      const error = await failure('top', { top: qcow2({ backing, backingFormat: 'raw' }) });
      expect(error).toMatchObject({ code: 'UNSUPPORTED', where: { found: backing } });
    },
  );
});

describe('qcow2 features that are refused by name', () => {
  it.each([
    { options: { encryption: 2 }, code: 'UNSUPPORTED', text: 'LUKS' },
    { options: { encryption: 1 }, code: 'UNSUPPORTED', text: 'encrypted' },
    { options: { incompatible: 2n }, code: 'CORRUPT', text: 'marked as corrupt' },
    { options: { incompatible: 1n << 17n }, code: 'UNSUPPORTED', text: 'bit 17' },
    {
      options: { incompatible: 1n << 17n, featureNames: [{ bit: 17, name: 'time travel' }] },
      code: 'UNSUPPORTED',
      text: 'time travel',
    },
    { options: { incompatible: 4n }, code: 'UNSUPPORTED', text: 'does not name' },
    { options: { incompatible: 8n }, code: 'CORRUPT', text: 'compression type' },
    { options: { backing: 'b', backingFormat: 'luks' }, code: 'UNSUPPORTED', text: 'luks' },
    { options: { sizeBytes: 1024 * 1024 + 1 }, code: 'CORRUPT', text: 'modulo 512' },
    { options: { sizeBytes: 2 ** 40 }, code: 'CORRUPT', text: 'l1_size' },
  ])('$text', async ({ options, code, text }) => {
    const error = await failure('a', { a: qcow2(options) });
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
  });

  it('names the file when a field is beyond all bounds', async () => {
    const image = qcow2();
    image.fill(0xff, 24, 32);
    const error = await failure('a', { a: image });
    expect(error).toMatchObject({ code: 'CORRUPT', where: { object: 'a', offset: 24 } });
  });

  it('reads a dirty image', async () => {
    const image = await openImage('a', memory({ a: qcow2({ incompatible: 1n }) }));
    expect(image.details).toMatchObject({ dirty: true });
  });
});

/** Two sectors that hold the text at the offset. */
function at(offset: number, text: string): Buffer {
  const data = Buffer.alloc(1024);
  data.write(text, offset, 'latin1');
  return data;
}

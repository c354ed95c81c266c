import { RestoreError } from '../../../core/index.ts';
import { corrupt, unsupported } from '../checks.ts';
import type { ImageFile } from '../image.ts';

/** Extents of one disk: 8 TiB of 2 GiB each, which is as far as split disks go. */
const EXTENT_COUNT_LIMIT = 4096;
const NO_PARENT = 0xffffffff;

const EXTENT_TYPES = ['FLAT', 'VMFS', 'SPARSE', 'VMFSSPARSE', 'ZERO'] as const;
export type ExtentType = (typeof EXTENT_TYPES)[number];

const ACCESS = /^\s*(RW|RDONLY|NOACCESS)\b/u;

export interface ExtentLine {
  readonly type: ExtentType;
  readonly sectorCount: number;
  /** Absent for `ZERO`. */
  readonly reference: string | undefined;
  /** Where the extent starts in its file, for flat ones. */
  readonly startSector: number;
}

/** @see "Virtual Disk Format 5.0", "The Descriptor File" */
export interface Descriptor {
  readonly createType: string;
  /** Content id, in lower-case hexadecimal. */
  readonly cid: string;
  /** `undefined` when there is no parent. */
  readonly parentCid: string | undefined;
  readonly parentReference: string | undefined;
  readonly extents: readonly ExtentLine[];
}

/** True when a file starts as a descriptor does. */
export function looksLikeDescriptor(head: Uint8Array): boolean {
  return /^\s*#\s*Disk\s*DescriptorFile/iu.test(Buffer.from(head).toString('latin1', 0, 128));
}

/** @throws RestoreError `CORRUPT` when it lacks what it must have, `UNSUPPORTED`. */
export function parseDescriptor(file: ImageFile, bytes: Uint8Array): Descriptor {
  const lines = decode(file, bytes).split(/\r?\n/u);
  checkEnd(file, lines.at(-1) ?? '');
  const values = new Map<string, string>();
  const extents: ExtentLine[] = [];
  for (const line of lines) {
    const extent = parseExtent(file, line);
    if (extent !== undefined) extents.push(extent);
    const pair = /^\s*([\w.:-]+)\s*=\s*"?(.*?)"?\s*$/u.exec(line);
    if (pair !== null) values.set((pair[1] as string).toLowerCase(), pair[2] as string);
  }
  if ([...values.keys()].some((key) => key.startsWith('encryption.'))) {
    throw unsupported(file, 'the image is encrypted', {
      structure: 'descriptor',
      hint: 'Decrypt the virtual machine first.',
    });
  }
  const { parentCid, parentReference } = parentOf(file, values);
  if (extents.length > EXTENT_COUNT_LIMIT) {
    throw unsupported(file, 'the disk has too many extents', {
      structure: 'descriptor',
      expected: `at most ${EXTENT_COUNT_LIMIT}`,
      found: extents.length,
    });
  }
  return {
    createType: need(file, values, 'createtype'),
    cid: contentId(file, values, 'cid'),
    parentCid,
    parentReference,
    extents,
  };
}

/** An extent line without a line end may be cut off, and others that followed it lost. */
function checkEnd(file: ImageFile, lastLine: string): void {
  if (!ACCESS.test(lastLine)) return;
  throw corrupt(file, 'the descriptor ends within an extent line', {
    structure: 'descriptor',
    expected: 'a line end',
    found: lastLine.slice(0, 100),
    hint: 'Copy the descriptor again. If it was written by hand, end its last line.',
  });
}

function parentOf(
  file: ImageFile,
  values: ReadonlyMap<string, string>,
): Pick<Descriptor, 'parentCid' | 'parentReference'> {
  const parentCid = contentId(file, values, 'parentcid');
  if (Number.parseInt(parentCid, 16) === NO_PARENT) {
    return { parentCid: undefined, parentReference: undefined };
  }
  return { parentCid, parentReference: need(file, values, 'parentfilenamehint') };
}

function decode(file: ImageFile, bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const content = end < 0 ? bytes : bytes.subarray(0, end);
  const named = /^\s*encoding\s*=\s*"?([\w-]+)/imu.exec(
    Buffer.from(content).toString('latin1'),
  )?.[1];
  try {
    return new TextDecoder(named ?? 'utf-8').decode(content);
  } catch (error) {
    throw new RestoreError('UNSUPPORTED', "the descriptor's text encoding is not read", {
      where: { object: file.path, structure: 'descriptor', found: named ?? '' },
      cause: error,
    });
  }
}

function need(file: ImageFile, values: ReadonlyMap<string, string>, key: string): string {
  const value = values.get(key);
  if (value !== undefined && value !== '') return value;
  throw corrupt(file, 'the descriptor lacks a line', {
    structure: 'descriptor',
    expected: `a line ${key}=...`,
    found: 'none',
  });
}

function contentId(file: ImageFile, values: ReadonlyMap<string, string>, key: string): string {
  const value = need(file, values, key).toLowerCase();
  if (/^[0-9a-f]{1,8}$/u.test(value))
    return Number.parseInt(value, 16).toString(16).padStart(8, '0');
  throw corrupt(file, 'a content id of the descriptor is damaged', {
    structure: `descriptor line ${key}`,
    expected: 'eight hexadecimal digits',
    found: value.slice(0, 40),
  });
}

function parseExtent(file: ImageFile, line: string): ExtentLine | undefined {
  const found = /^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)"(?:\s+(\d+))?)?/u.exec(
    line,
  );
  if (found === null) {
    if (!ACCESS.test(line)) return undefined;
    throw corrupt(file, 'an extent line is damaged', {
      structure: 'descriptor',
      found: line.slice(0, 100),
    });
  }
  const [, access, size, word, reference, start] = found;
  const type = EXTENT_TYPES.find((known) => known === word);
  if (access === 'NOACCESS' || type === undefined) {
    throw unsupported(file, 'an extent is of a kind that is not read', {
      structure: 'descriptor',
      expected: `RW or RDONLY, and ${EXTENT_TYPES.join(', ')}`,
      found: `${access} ${word}`,
      hint: 'Convert or clone the disk with the tool that wrote it.',
    });
  }
  const sectorCount = Number(size);
  const startSector = Number(start ?? 0);
  const fits = Number.isSafeInteger((sectorCount + startSector) * 512) && sectorCount > 0;
  if (!fits || (type !== 'ZERO' && !reference)) {
    throw corrupt(file, 'an extent line is damaged', {
      structure: 'descriptor',
      found: line.slice(0, 100),
    });
  }
  return { type, sectorCount, reference, startSector };
}

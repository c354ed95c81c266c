import { type FileKind, layout, nameFromBytes, RestoreError } from '../../../core/index.ts';
import {
  CLOUD_TAG,
  CLOUD_TAG_MASK,
  CONTENT_RULES,
  REPARSE_TAG_NAMES,
  TAG,
} from './reparse-tags.ts';

/** What a `$REPARSE_POINT` attribute says of its file ([MS-FSCC] 2.1.2). */
export type ReparsePoint = { readonly tag: number } & ReparseMeaning;

type ReparseMeaning =
  /** `target` as the kernel follows it, `printName` as it is shown; either can be empty. */
  | {
      readonly kind: 'symbolic-link';
      readonly target: string;
      readonly printName: string;
      readonly isRelative: boolean;
    }
  /** A directory elsewhere, or a volume: `\??\D:\Users`, `\??\Volume{…}\`. */
  | { readonly kind: 'junction'; readonly target: string; readonly printName: string }
  /** Made by WSL or by a server for NFS. */
  | { readonly kind: 'posix-link'; readonly target: string }
  /** A device, FIFO or socket of theirs. WSL keeps device numbers in the attribute `$LXDEV`. */
  | { readonly kind: 'special'; readonly special: SpecialKind; readonly device?: DeviceNumber }
  /** The content lies in the stream `WofCompressedData`, or in a WIM archive. */
  | { readonly kind: 'overlay'; readonly provider: string; readonly algorithm?: string }
  /** A start alias of a packaged program; the file itself is empty. */
  | { readonly kind: 'program-alias'; readonly executable: string }
  /** A tag whose data means nothing outside the filter it belongs to. */
  | { readonly kind: 'other'; readonly name: string };

type SpecialKind = Exclude<FileKind, 'file' | 'directory' | 'symlink'>;

interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

const HEADER_BYTES = 8;
const GUID_BYTES = 16;
/** Set on tags of Microsoft's; all others have a GUID behind the header. */
const MICROSOFT_BIT = 0x8000_0000;
/** [MS-FSCC] 2.1.2.2: at most this much data. */
const DATA_BYTES_MAX = 16 * 1024;

const Header = { tag: layout.u32le(0), length: layout.u16le(4) } as const;

/**
 * @param value the attribute's whole value.
 * @throws RestoreError `CORRUPT` when a length or an offset in it does not fit, `UNSUPPORTED` for a
 *   newer version of a known layout.
 */
export function parseReparsePoint(value: Uint8Array): ReparsePoint {
  if (value.byteLength < HEADER_BYTES) {
    throw damaged(0, `at least ${HEADER_BYTES} bytes`, `${value.byteLength}`);
  }
  const view = layout.viewOf(value);
  const tag = Header.tag(view);
  const length = Header.length(view);
  const start = (tag & MICROSOFT_BIT) === 0 ? HEADER_BYTES + GUID_BYTES : HEADER_BYTES;
  if (length > DATA_BYTES_MAX || start + length > value.byteLength) {
    throw damaged(4, `at most ${value.byteLength - start} bytes of data`, `${length}`);
  }
  const meaning = READERS[tag]?.(value.subarray(start, start + length));
  return { tag, ...(meaning ?? { kind: 'other', name: nameOfTag(tag) }) };
}

/** What the rules of `missingContent` look at. */
const RECALL_ATTRIBUTES =
  /* OFFLINE */ 0x1000 | /* RECALL_ON_OPEN */ 0x4_0000 | /* RECALL_ON_DATA_ACCESS */ 0x40_0000;

/**
 * Why a file's unnamed stream is not its content, `undefined` when it is. Filters keep content
 * elsewhere (in another stream, in a chunk store, in a cloud) and leave a sparse or empty stream
 * behind, which must not be taken for the file.
 *
 * @param dosAttributes the file's `FILE_ATTRIBUTE_*` bits.
 */
export function missingContent(point: ReparsePoint, dosAttributes: number): string | undefined {
  if (point.kind === 'overlay') return overlayReason(point.provider, point.algorithm);
  if (point.kind !== 'other') return undefined;
  const rule = isCloud(point.tag) ? 'recalled' : (CONTENT_RULES[point.tag] ?? 'elsewhere');
  const isRecalled = rule === 'recalled' && (dosAttributes & RECALL_ATTRIBUTES) !== 0;
  if (rule !== 'elsewhere' && !isRecalled) return undefined;
  return `its content is kept elsewhere (reparse point ${point.name})`;
}

function overlayReason(provider: string, algorithm: string | undefined): string {
  return algorithm === undefined
    ? `its content lies in a ${provider} archive (WOF)`
    : `it is compressed by ${algorithm} (WOF)`;
}

function nameOfTag(tag: number): string {
  if (isCloud(tag)) return 'CLOUD';
  return REPARSE_TAG_NAMES[tag] ?? `0x${tag.toString(16).padStart(8, '0')}`;
}

const isCloud = (tag: number): boolean => (tag & CLOUD_TAG_MASK) >>> 0 === CLOUD_TAG;

type Reader = (data: Uint8Array) => ReparseMeaning;

const READERS: Readonly<Record<number, Reader>> = {
  [TAG.SYMLINK]: symbolicLink,
  [TAG.MOUNT_POINT]: (data) => ({ kind: 'junction', ...twoNames(data, 8) }),
  [TAG.LX_SYMLINK]: linuxLink,
  [TAG.LX_FIFO]: () => ({ kind: 'special', special: 'fifo' }),
  [TAG.LX_CHR]: () => ({ kind: 'special', special: 'character-device' }),
  [TAG.LX_BLK]: () => ({ kind: 'special', special: 'block-device' }),
  [TAG.AF_UNIX]: () => ({ kind: 'special', special: 'socket' }),
  [TAG.NFS]: networkFile,
  [TAG.WOF]: overlay,
  [TAG.APPEXECLINK]: programAlias,
};

/** [MS-FSCC] 2.1.2.4, without the header. */
const Names = {
  substituteOffset: layout.u16le(0),
  substituteLength: layout.u16le(2),
  printOffset: layout.u16le(4),
  printLength: layout.u16le(6),
  flags: layout.u32le(8),
} as const;
const SYMLINK_FLAG_RELATIVE = 1;

function symbolicLink(data: Uint8Array): ReparseMeaning {
  const names = twoNames(data, 12);
  const flags = Names.flags(layout.viewOf(data));
  return { kind: 'symbolic-link', ...names, isRelative: (flags & SYMLINK_FLAG_RELATIVE) !== 0 };
}

function twoNames(data: Uint8Array, pathsAt: number): { target: string; printName: string } {
  const view = layout.viewOf(data);
  const name = (offset: number, length: number): string => {
    const start = pathsAt + offset;
    if (length % 2 !== 0 || start + length > data.byteLength) {
      throw damaged(start, `a name within ${data.byteLength} bytes`, `${length} bytes`);
    }
    return utf16(data.subarray(start, start + length));
  };
  return {
    target: name(Names.substituteOffset(view), Names.substituteLength(view)),
    printName: name(Names.printOffset(view), Names.printLength(view)),
  };
}

const LINUX_LINK_VERSION = 2;

/** [MS-FSCC] 2.1.2.7: a version, then the target in UTF-8. */
function linuxLink(data: Uint8Array): ReparseMeaning {
  expectVersion(data, LINUX_LINK_VERSION, 'LX_SYMLINK');
  return { kind: 'posix-link', target: nameFromBytes(data.subarray(4)) };
}

/** [MS-FSCC] 2.1.2.6: four letters and a zero-filled rest say the kind. */
function networkFile(data: Uint8Array): ReparseMeaning {
  const view = layout.viewOf(data);
  const type = layout.bits64le(0)(view).toString(16);
  if (type === '14b4e4c') {
    if (data.byteLength % 2 !== 0) throw damaged(8, 'a target of 16-bit units', 'an odd length');
    return { kind: 'posix-link', target: utf16(data.subarray(8)) };
  }
  const special = NETWORK_SPECIALS[type];
  if (special === undefined) throw damaged(0, 'a type of special file', `0x${type}`);
  if (special === 'fifo' || special === 'socket') return { kind: 'special', special };
  const device = { major: layout.u32le(8)(view), minor: layout.u32le(12)(view) };
  return { kind: 'special', special, device };
}

const NETWORK_SPECIALS: Readonly<Record<string, SpecialKind>> = {
  '524843': 'character-device',
  '4b4c42': 'block-device',
  '4f464946': 'fifo',
  '4b434f53': 'socket',
};

/** `WOF_EXTERNAL_INFO` and `FILE_PROVIDER_EXTERNAL_INFO_V1` ([MS-FSCC] 2.1.2.8 and wofapi.h). */
const Overlay = { provider: layout.u32le(4), algorithm: layout.u32le(12) } as const;
const OVERLAY_VERSION = 1;
const OVERLAY_PROVIDERS = ['WIM', 'file'] as const;
const OVERLAY_ALGORITHMS = ['XPRESS4K', 'LZX', 'XPRESS8K', 'XPRESS16K'] as const;

function overlay(data: Uint8Array): ReparseMeaning {
  expectVersion(data, OVERLAY_VERSION, 'WOF');
  const view = layout.viewOf(data);
  const providerNumber = Overlay.provider(view);
  const provider = OVERLAY_PROVIDERS[providerNumber - 1] ?? `provider ${providerNumber}`;
  if (provider !== 'file') return { kind: 'overlay', provider };
  const algorithm = Overlay.algorithm(view);
  const name = OVERLAY_ALGORITHMS[algorithm] ?? `algorithm ${algorithm}`;
  return { kind: 'overlay', provider, algorithm: name };
}

/** A count, then as many texts that each end with a zero: package, entry point, executable, … */
const PROGRAM_STRINGS_AT = 4;
const EXECUTABLE_INDEX = 2;

function programAlias(data: Uint8Array): ReparseMeaning {
  const end = data.byteLength - (data.byteLength % 2);
  const texts = utf16(data.subarray(PROGRAM_STRINGS_AT, end)).split('\0');
  return { kind: 'program-alias', executable: texts[EXECUTABLE_INDEX] ?? '' };
}

function expectVersion(data: Uint8Array, expected: number, structure: string): void {
  const version = layout.u32le(0)(layout.viewOf(data));
  if (version === expected) return;
  throw new RestoreError('UNSUPPORTED', 'a reparse point has a layout that is not known', {
    where: { structure, expected: `version ${expected}`, found: version },
  });
}

/** Without loss: a lone surrogate stays what it is. */
function utf16(units: Uint8Array): string {
  return Buffer.from(units.buffer, units.byteOffset, units.byteLength).toString('utf16le');
}

function damaged(offset: number, expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'a reparse point is damaged', {
    where: { structure: '$REPARSE_POINT', offset, expected, found },
  });
}

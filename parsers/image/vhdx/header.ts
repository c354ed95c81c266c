import { layout, readBytes } from '../../../core/index.ts';
import { corrupt, needBetween, needInside, unsupported } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import { checksumIsRight } from './checksum.ts';
import {
  FILE_SIGNATURE,
  HEADER_BYTES,
  HEADER_SIGNATURE,
  HEADERS_AT,
  Header,
  hasSignature,
  MIB,
  NO_GUID,
} from './layout.ts';

/** The header in force. */
export interface VhdxHeader {
  readonly sequenceNumber: number;
  /** Changes with every change of what the guest sees: a child names its parent by it. */
  readonly dataWriteGuid: string;
  /** `undefined` when there is nothing to replay. */
  readonly log: { readonly guid: string; readonly at: number; readonly length: number } | undefined;
}

/**
 * The one of the two headers that is sound and newer.
 *
 * @see [MS-VHDX] section 2.2.2
 * @throws RestoreError `CORRUPT` when neither is sound, `UNSUPPORTED` for another version.
 */
export async function readHeader(file: ImageFile): Promise<VhdxHeader> {
  needInside(file, 'file type identifier and headers', 0, MIB);
  const start = layout.viewOf(await readBytes(file.source, 0, FILE_SIGNATURE.length));
  if (!hasSignature(start, 0, FILE_SIGNATURE)) {
    throw corrupt(file, 'the file is not a VHDX image', {
      structure: 'file type identifier',
      offset: 0,
      expected: FILE_SIGNATURE,
      found: JSON.stringify(layout.text(0, 8, 'latin1')(start)),
    });
  }
  let current: { view: DataView; at: number } | undefined;
  for (const at of HEADERS_AT) {
    const bytes = await readBytes(file.source, at, HEADER_BYTES);
    const view = layout.viewOf(bytes);
    if (!hasSignature(view, 0, HEADER_SIGNATURE) || !checksumIsRight(bytes)) continue;
    const newer =
      current === undefined || Header.sequenceNumber(view) > Header.sequenceNumber(current.view);
    if (newer) current = { view, at };
  }
  if (current === undefined) {
    throw corrupt(file, 'both headers are missing or damaged', {
      structure: 'header',
      offset: HEADERS_AT[0],
      expected: `"${HEADER_SIGNATURE}" and a right checksum, here or at offset ${HEADERS_AT[1]}`,
      found: 'neither',
    });
  }
  return parse(file, current.view, current.at);
}

function parse(file: ImageFile, view: DataView, at: number): VhdxHeader {
  if (Header.version(view) !== 1) {
    throw unsupported(file, 'this VHDX version is not read', {
      structure: 'header field Version',
      offset: at + 66,
      expected: 1,
      found: Header.version(view),
    });
  }
  return {
    sequenceNumber: Header.sequenceNumber(view),
    dataWriteGuid: Header.dataWriteGuid(view),
    log: Header.logGuid(view) === NO_GUID ? undefined : logPlace(file, view),
  };
}

function logPlace(file: ImageFile, view: DataView): VhdxHeader['log'] {
  needBetween(file, 'header field LogVersion', Header.logVersion(view), 0, 0);
  const at = Header.logOffset(view);
  const length = Header.logLength(view);
  needBetween(file, 'header field LogOffset', at, MIB, Number.MAX_SAFE_INTEGER);
  needBetween(file, 'header field LogLength', length, MIB, 0xffffffff);
  needBetween(
    file,
    'header fields LogOffset and LogLength modulo 1 MiB',
    (at % MIB) + (length % MIB),
    0,
    0,
  );
  needInside(file, 'log', at, length);
  return { guid: Header.logGuid(view), at, length };
}

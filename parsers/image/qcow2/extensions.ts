import { layout, readBytes } from '../../../core/index.ts';
import { corrupt } from '../checks.ts';
import type { ImageFile } from '../image.ts';
import {
  EXTENSION_HEADER_BYTES,
  EXTENSIONS,
  Extension,
  FEATURE_NAME_BYTES,
  FEATURE_TYPE_INCOMPATIBLE,
  FeatureName,
} from './layout.ts';

/** What the header extensions say that reading needs. */
export interface Extensions {
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
  /** Names of incompatible features by bit number. */
  readonly featureNames: ReadonlyMap<number, string>;
}

/**
 * Reads the header extensions in `[start, end)`; unknown ones are skipped, as the format asks.
 *
 * @see qcow2.rst, "Header extensions"
 */
export async function readExtensions(
  file: ImageFile,
  start: number,
  end: number,
): Promise<Extensions> {
  const data = await readBytes(file.source, start, Math.max(0, end - start));
  const view = layout.viewOf(data);
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at + EXTENSION_HEADER_BYTES <= data.byteLength; ) {
    const type = Extension.type(view, at);
    if (type === EXTENSIONS.end) break;
    const length = Extension.length(view, at);
    const body = at + EXTENSION_HEADER_BYTES;
    if (body + length > data.byteLength) {
      throw corrupt(file, 'a header extension reaches past the header', {
        structure: `header extension 0x${type.toString(16)}`,
        offset: start + at,
        expected: `at most ${data.byteLength - body} bytes`,
        found: `${length} bytes`,
      });
    }
    found.set(type, data.subarray(body, body + length));
    at = body + Math.ceil(length / 8) * 8;
  }
  return {
    backingFormat: text(found.get(EXTENSIONS.backingFormat)),
    dataFile: text(found.get(EXTENSIONS.dataFile)),
    featureNames: featureNames(found.get(EXTENSIONS.featureNames)),
  };
}

function text(data: Uint8Array | undefined): string | undefined {
  return data === undefined ? undefined : new TextDecoder().decode(data);
}

function featureNames(data: Uint8Array | undefined): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  if (data === undefined) return names;
  const view = layout.viewOf(data);
  for (let at = 0; at + FEATURE_NAME_BYTES <= data.byteLength; at += FEATURE_NAME_BYTES) {
    if (FeatureName.type(view, at) !== FEATURE_TYPE_INCOMPATIBLE) continue;
    names.set(FeatureName.bit(view, at), FeatureName.name(view, at));
  }
  return names;
}

import { RestoreError } from '../../core/index.ts';

/** One `key=value` of a login or text request. RFC 7143 section 6.1. */
export interface TextPair {
  readonly key: string;
  readonly value: string;
}

const MAX_KEY_LENGTH = 63;
const MAX_VALUE_LENGTH = 8192;
const MAX_PAIRS = 1024;
const KEY_PATTERN = /^[A-Z][A-Za-z0-9.\-+@_#]*$/;

/**
 * Splits NUL-terminated `key=value` pairs.
 *
 * @throws RestoreError `INVALID` for a pair without `=`, a key or value of wrong form or length, or
 *   a key given twice.
 */
export function parseText(data: Uint8Array): TextPair[] {
  const pairs: TextPair[] = [];
  const seen = new Set<string>();
  for (const item of Buffer.from(data).toString('utf8').split('\0')) {
    if (item === '') continue;
    const pair = parsePair(item);
    if (seen.has(pair.key)) throw badText('a text key is given twice', pair.key);
    if (pairs.length >= MAX_PAIRS) throw badText('too many text keys', `over ${MAX_PAIRS}`);
    seen.add(pair.key);
    pairs.push(pair);
  }
  return pairs;
}

export function encodeText(pairs: readonly TextPair[]): Uint8Array {
  return Buffer.from(pairs.map(({ key, value }) => `${key}=${value}\0`).join(''), 'utf8');
}

/** A decimal or `0x` number in `[min, max]`, else `undefined`. RFC 7143 section 6.1. */
export function parseNumber(text: string, min: number, max: number): number | undefined {
  if (!/^(0[xX][0-9a-fA-F]{1,13}|[0-9]{1,15})$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

/** A `0x` or `0b` (base64) constant as bytes, else `undefined`. RFC 7143 section 6.1. */
export function parseBinary(text: string, maxBytes: number): Uint8Array | undefined {
  if (/^0[xX]([0-9a-fA-F]{2})+$/.test(text)) {
    return limited(Buffer.from(text.slice(2), 'hex'), maxBytes);
  }
  if (/^0[bB][A-Za-z0-9+/]+={0,2}$/.test(text)) {
    return limited(Buffer.from(text.slice(2), 'base64'), maxBytes);
  }
  return undefined;
}

export function encodeBinary(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}

function limited(bytes: Uint8Array, maxBytes: number): Uint8Array | undefined {
  return bytes.length <= maxBytes ? bytes : undefined;
}

function parsePair(item: string): TextPair {
  const equals = item.indexOf('=');
  const key = item.slice(0, Math.max(equals, 0));
  const value = item.slice(equals + 1);
  if (equals < 1 || key.length > MAX_KEY_LENGTH || !KEY_PATTERN.test(key)) {
    throw badText('a text key is malformed', item.slice(0, MAX_KEY_LENGTH));
  }
  if (value.length > MAX_VALUE_LENGTH) throw badText('a text value is too long', key);
  return { key, value };
}

function badText(message: string, found: string): RestoreError {
  return new RestoreError('INVALID', message, {
    where: {
      structure: 'text segment',
      expected: 'key=value pairs, each key once',
      found: JSON.stringify(found),
    },
    hint: 'Check that the client speaks iSCSI.',
  });
}

import {
  ERROR_CODES,
  type ErrorCode,
  type ErrorPlace,
  type PlainError,
  showText,
} from '../../core/index.ts';
import type { FromInspector, InspectOutcome, InspectRemark } from './messages.ts';

/** Longer text than any message of ours. */
const TEXT_MAX = 16 * 1024;

/**
 * What an inspector said, as one in its right mind says it: of known kinds, and with nothing in its
 * texts that a terminal obeys. It may have been taken over by what it parsed.
 *
 * @returns `undefined` for anything else.
 */
export function checkMessage(message: unknown): FromInspector | undefined {
  if (!isObject(message)) return undefined;
  const { kind, number, ok } = message;
  if (kind === 'alive' || kind === 'ready') return { kind };
  if (kind === 'remark') {
    const remark = remarkFrom(message['remark']);
    return remark === undefined ? undefined : { kind, remark };
  }
  if (kind !== 'reply' || typeof number !== 'number') return undefined;
  if (ok === true) {
    const outcome = outcomeFrom(message['outcome']);
    return outcome === undefined ? undefined : { kind, number, ok, outcome };
  }
  const error = plainErrorFrom(message['error']);
  return error === undefined ? undefined : { kind, number, ok: false, error };
}

/** An error that came from an inspector. @returns `undefined` for anything that is none. */
export function plainErrorFrom(value: unknown): PlainError | undefined {
  if (!isObject(value) || !isCode(value['code'])) return undefined;
  const message = textFrom(value['message']);
  if (message === undefined) return undefined;
  return {
    ...{ code: value['code'], message, hint: textFrom(value['hint']) },
    where: placeFrom(value['where']),
  };
}

function remarkFrom(value: unknown): InspectRemark | undefined {
  if (!isObject(value)) return undefined;
  if (value['kind'] === 'warning') {
    const message = textFrom(value['message']);
    return message === undefined ? undefined : { kind: 'warning', message };
  }
  const error = value['kind'] === 'failure' ? plainErrorFrom(value['error']) : undefined;
  return error === undefined ? undefined : { kind: 'failure', error };
}

function outcomeFrom(value: unknown): InspectOutcome | undefined {
  if (!isObject(value) || !Number.isSafeInteger(value['failures'])) return undefined;
  const failures = value['failures'] as number;
  if (value['first'] === undefined) return failures === 0 ? { failures } : undefined;
  const first = plainErrorFrom(value['first']);
  return first === undefined ? undefined : { failures, first };
}

function placeFrom(value: unknown): ErrorPlace {
  if (!isObject(value)) return {};
  const place: Record<string, string | number> = {};
  for (const name of ['object', 'structure', 'offset', 'expected', 'found']) {
    const field = value[name];
    if (typeof field === 'number' && Number.isFinite(field)) place[name] = field;
    const text = textFrom(field);
    if (text !== undefined && name !== 'offset') place[name] = text;
  }
  return place;
}

function textFrom(value: unknown): string | undefined {
  return typeof value === 'string' ? showText(value.slice(0, TEXT_MAX)) : undefined;
}

function isCode(value: unknown): value is ErrorCode {
  return (ERROR_CODES as readonly unknown[]).includes(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

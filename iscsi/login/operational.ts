/**
 * Operational parameters: defaults, and one row per key that is negotiated. RFC 7143 section 13.
 */
import type { IscsiLimits } from '../limits.ts';
import { parseNumber } from '../protocol/text.ts';

/** What both sides agreed on for one session. */
export interface SessionParameters {
  headerDigest: boolean;
  dataDigest: boolean;
  /** The longest data segment that the initiator accepts. */
  peerMaxRecvDataSegmentLengthBytes: number;
  maxBurstLengthBytes: number;
  firstBurstLengthBytes: number;
  initialR2T: boolean;
  immediateData: boolean;
}

/** RFC 7143's defaults: what holds for keys that nobody mentions. */
export function defaultParameters(): SessionParameters {
  return {
    headerDigest: false,
    dataDigest: false,
    peerMaxRecvDataSegmentLengthBytes: 8192,
    maxBurstLengthBytes: 262_144,
    firstBurstLengthBytes: 65_536,
    initialR2T: true,
    immediateData: true,
  };
}

/**
 * How a key is answered: with a value, with nothing (declarations), or `Reject` for a value that
 * makes no sense.
 */
export type KeyAnswer = string | undefined;

export interface OperationalKey {
  /** Means nothing in a discovery session, and is answered `Irrelevant` there. */
  readonly normalOnly?: true;
  negotiate(value: string, parameters: SessionParameters, limits: IscsiLimits): KeyAnswer;
}

const REJECT = 'Reject';
const MAX_24_BITS = 0xffffff;

export const OPERATIONAL_KEYS: ReadonlyMap<string, OperationalKey> = new Map(
  Object.entries({
    HeaderDigest: digest('headerDigest'),
    DataDigest: digest('dataDigest'),
    MaxRecvDataSegmentLength: {
      negotiate(value, parameters) {
        const bytes = parseNumber(value, 512, MAX_24_BITS);
        if (bytes === undefined) return REJECT;
        parameters.peerMaxRecvDataSegmentLengthBytes = bytes;
        return undefined;
      },
    },
    MaxBurstLength: {
      normalOnly: true,
      negotiate(value, parameters, limits) {
        const bytes = parseNumber(value, 512, MAX_24_BITS);
        if (bytes === undefined) return REJECT;
        parameters.maxBurstLengthBytes = Math.min(bytes, limits.maxBurstLengthBytes);
        return String(parameters.maxBurstLengthBytes);
      },
    },
    FirstBurstLength: {
      normalOnly: true,
      negotiate(value, parameters, limits) {
        const bytes = parseNumber(value, 512, MAX_24_BITS);
        if (bytes === undefined) return REJECT;
        parameters.firstBurstLengthBytes = Math.min(bytes, limits.firstBurstLengthBytes);
        return String(parameters.firstBurstLengthBytes);
      },
    },
    InitialR2T: {
      normalOnly: true,
      negotiate(value, parameters, limits) {
        const asked = parseBoolean(value);
        if (asked === undefined) return REJECT;
        parameters.initialR2T = asked || limits.initialR2T;
        return yesNo(parameters.initialR2T);
      },
    },
    ImmediateData: {
      normalOnly: true,
      negotiate(value, parameters, limits) {
        const asked = parseBoolean(value);
        if (asked === undefined) return REJECT;
        parameters.immediateData = asked && limits.immediateData;
        return yesNo(parameters.immediateData);
      },
    },
    MaxConnections: fixedMinimum(1, 65_535, 1),
    MaxOutstandingR2T: fixedMinimum(1, 65_535, 1),
    ErrorRecoveryLevel: fixedMinimum(0, 2, 0, false),
    DefaultTime2Wait: {
      negotiate: (value) => parsedText(parseNumber(value, 0, 3600), (n) => Math.max(n, 2)),
    },
    DefaultTime2Retain: {
      negotiate: (value) => parsedText(parseNumber(value, 0, 3600), () => 0),
    },
    DataPDUInOrder: alwaysYes(),
    DataSequenceInOrder: alwaysYes(),
    // Markers went away with RFC 7143; initiators of RFC 3720 still turn them off explicitly.
    IFMarker: { negotiate: (value) => (parseBoolean(value) === undefined ? REJECT : 'No') },
    OFMarker: { negotiate: (value) => (parseBoolean(value) === undefined ? REJECT : 'No') },
    IFMarkInt: { negotiate: () => 'Irrelevant' },
    OFMarkInt: { negotiate: () => 'Irrelevant' },
    TaskReporting: {
      normalOnly: true,
      negotiate: (value) => (value.split(',').includes('RFC3720') ? 'RFC3720' : REJECT),
    },
    InitiatorAlias: { negotiate: () => undefined },
  } satisfies Record<string, OperationalKey>),
);

/** Answers one key, whatever it is. RFC 7143 sections 6.2.1 to 6.2.3. */
export function negotiateKey(
  key: string,
  value: string,
  discovery: boolean,
  parameters: SessionParameters,
  limits: IscsiLimits,
): KeyAnswer {
  const row = OPERATIONAL_KEYS.get(key);
  if (row === undefined) return 'NotUnderstood';
  if (discovery && row.normalOnly === true) return 'Irrelevant';
  // An initiator in a discovery session answers with these words to what it was not asked.
  if (value === 'Irrelevant' || value === 'NotUnderstood' || value === 'Reject') return undefined;
  return row.negotiate(value, parameters, limits);
}

/** The first burst may not be longer than a burst. RFC 7143 section 13.14. */
export function settle(parameters: SessionParameters): void {
  parameters.firstBurstLengthBytes = Math.min(
    parameters.firstBurstLengthBytes,
    parameters.maxBurstLengthBytes,
  );
}

function digest(name: 'headerDigest' | 'dataDigest'): OperationalKey {
  return {
    negotiate(value, parameters) {
      const chosen = value.split(',').find((item) => item === 'CRC32C' || item === 'None');
      if (chosen === undefined) return REJECT;
      parameters[name] = chosen === 'CRC32C';
      return chosen;
    },
  };
}

/** The smaller of both sides, where ours is the smallest there is. */
function fixedMinimum(min: number, max: number, ours: number, normalOnly = true): OperationalKey {
  return {
    ...(normalOnly ? { normalOnly: true as const } : {}),
    negotiate: (value) => parsedText(parseNumber(value, min, max), (n) => Math.min(n, ours)),
  };
}

function alwaysYes(): OperationalKey {
  return {
    normalOnly: true,
    negotiate: (value) => (parseBoolean(value) === undefined ? REJECT : 'Yes'),
  };
}

function parsedText(value: number | undefined, map: (value: number) => number): string {
  return value === undefined ? REJECT : String(map(value));
}

function parseBoolean(text: string): boolean | undefined {
  return text === 'Yes' ? true : text === 'No' ? false : undefined;
}

function yesNo(value: boolean): string {
  return value ? 'Yes' : 'No';
}

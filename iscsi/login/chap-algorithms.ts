import { createHash } from 'node:crypto';

/**
 * CHAP algorithms by name. RFC 7143 section 12.1.3 (5 and 7 come from there and from its IANA
 * registry, as do 6 and 8). One more algorithm is one more row.
 */
export const CHAP_ALGORITHMS = {
  'sha3-256': { number: 8, hash: 'sha3-256', digestBytes: 32 },
  sha256: { number: 7, hash: 'sha256', digestBytes: 32 },
  sha1: { number: 6, hash: 'sha1', digestBytes: 20 },
  md5: { number: 5, hash: 'md5', digestBytes: 16 },
} as const;

export type ChapAlgorithm = keyof typeof CHAP_ALGORITHMS;

/** Strongest first; this is also the order in which they are chosen. */
export const ALL_CHAP_ALGORITHMS: readonly ChapAlgorithm[] = Object.keys(
  CHAP_ALGORITHMS,
) as ChapAlgorithm[];

/** The response to a challenge: hash(identifier, secret, challenge). RFC 1994 section 4.1. */
export function chapResponse(
  algorithm: ChapAlgorithm,
  identifier: number,
  secret: string,
  challenge: Uint8Array,
): Uint8Array {
  return createHash(CHAP_ALGORITHMS[algorithm].hash)
    .update(Uint8Array.of(identifier))
    .update(secret, 'utf8')
    .update(challenge)
    .digest();
}

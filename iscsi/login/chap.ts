/**
 * The target's side of CHAP, one-way and mutual. RFC 7143 section 12.1.3, RFC 1994.
 */
import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { encodeBinary, parseBinary, parseNumber, type TextPair } from '../protocol/text.ts';
import { CHAP_ALGORITHMS, type ChapAlgorithm, chapResponse } from './chap-algorithms.ts';

const MAX_CHALLENGE_BYTES = 1024;
const MAX_NAME_LENGTH = 255;

export interface ChapCredentials {
  readonly user: string;
  readonly secret: string;
}

/** What one export asks for. */
export interface ChapRequirement extends ChapCredentials {
  /** Acceptable algorithms, best first; all by default. */
  readonly algorithms: readonly ChapAlgorithm[];
  /** With these the target proves itself to an initiator that asks for it. */
  readonly mutual?: ChapCredentials;
}

/** One party that the caller may turn out to be. A login has one; discovery has every export. */
export interface ChapCandidate<Id> {
  readonly id: Id;
  readonly requirement: ChapRequirement;
}

/** Challenges now waiting for an answer, so that none can be played back to us. */
export type LiveChallenges = Set<string>;

export type ChapStep<Id> =
  | { readonly kind: 'reply'; readonly pairs: readonly TextPair[] }
  | { readonly kind: 'accepted'; readonly pairs: readonly TextPair[]; readonly as: readonly Id[] }
  | { readonly kind: 'refused'; readonly reason: ChapRefusal; readonly user?: string };

export type ChapRefusal =
  | 'malformed CHAP keys'
  | 'no common algorithm'
  | 'reflected challenge'
  | 'wrong user or secret'
  | 'mutual authentication is not configured';

/** One exchange: algorithms offered, then name and response. */
export class ChapExchange<Id> {
  readonly #candidates: readonly ChapCandidate<Id>[];
  readonly #live: LiveChallenges;
  #algorithm: ChapAlgorithm | undefined;
  #identifier = 0;
  #challenge: Uint8Array = new Uint8Array(0);

  constructor(candidates: readonly ChapCandidate<Id>[], live: LiveChallenges) {
    this.#candidates = candidates;
    this.#live = live;
  }

  /** True once a challenge has been sent: the next keys must hold the response. */
  get challenged(): boolean {
    return this.#algorithm !== undefined;
  }

  /** Answers the initiator's list of algorithms with one of them and a fresh challenge. */
  offer(keys: ReadonlyMap<string, string>): ChapStep<Id> {
    const offered = (keys.get('CHAP_A') ?? '').split(',').map((item) => item.trim());
    const algorithm = this.#choose(offered);
    if (algorithm === undefined) return { kind: 'refused', reason: 'no common algorithm' };
    this.#algorithm = algorithm;
    this.#identifier = randomInt(256);
    this.#challenge = randomBytes(CHAP_ALGORITHMS[algorithm].digestBytes);
    this.#live.add(encodeBinary(this.#challenge));
    return {
      kind: 'reply',
      pairs: [
        { key: 'CHAP_A', value: String(CHAP_ALGORITHMS[algorithm].number) },
        { key: 'CHAP_I', value: String(this.#identifier) },
        { key: 'CHAP_C', value: encodeBinary(this.#challenge) },
      ],
    };
  }

  /**
   * Judges the response. Every candidate is computed and compared whatever the others gave, so the
   * time taken does not tell a wrong user from a wrong secret.
   */
  answer(keys: ReadonlyMap<string, string>): ChapStep<Id> {
    const algorithm = this.#algorithm as ChapAlgorithm;
    const given = readAnswer(keys, CHAP_ALGORITHMS[algorithm].digestBytes);
    if (given === undefined) return { kind: 'refused', reason: 'malformed CHAP keys' };
    const { user, response, peer } = given;
    if (peer !== undefined && this.#live.has(encodeBinary(peer.challenge))) {
      return { kind: 'refused', reason: 'reflected challenge', user };
    }
    const matched = this.#candidates.filter(({ requirement }) =>
      this.#matches(requirement, algorithm, user, response),
    );
    if (matched.length === 0) return { kind: 'refused', reason: 'wrong user or secret', user };
    const as = matched.map(({ id }) => id);
    if (peer === undefined) return { kind: 'accepted', pairs: [], as };
    const mutual = matched.find(({ requirement }) => requirement.mutual !== undefined);
    if (mutual?.requirement.mutual === undefined) {
      return { kind: 'refused', reason: 'mutual authentication is not configured', user };
    }
    return { kind: 'accepted', pairs: proof(mutual.requirement.mutual, algorithm, peer), as };
  }

  /** Forgets the challenge; the exchange is over. */
  end(): void {
    this.#live.delete(encodeBinary(this.#challenge));
  }

  #choose(offered: readonly string[]): ChapAlgorithm | undefined {
    const allowed = new Set(this.#candidates.flatMap(({ requirement }) => requirement.algorithms));
    const preferred = this.#candidates[0]?.requirement.algorithms ?? [];
    return [...preferred, ...allowed].find((name) =>
      offered.includes(String(CHAP_ALGORITHMS[name].number)),
    );
  }

  #matches(
    requirement: ChapRequirement,
    algorithm: ChapAlgorithm,
    user: string,
    response: Uint8Array,
  ): boolean {
    const expected = chapResponse(algorithm, this.#identifier, requirement.secret, this.#challenge);
    const sameResponse = timingSafeEqual(expected, response);
    const sameUser = timingSafeEqual(fingerprint(requirement.user), fingerprint(user));
    return sameResponse && sameUser && requirement.algorithms.includes(algorithm);
  }
}

interface PeerChallenge {
  readonly identifier: number;
  readonly challenge: Uint8Array;
}

interface Answer {
  readonly user: string;
  readonly response: Uint8Array;
  readonly peer: PeerChallenge | undefined;
}

function readAnswer(keys: ReadonlyMap<string, string>, responseBytes: number): Answer | undefined {
  const user = keys.get('CHAP_N');
  const response = parseBinary(keys.get('CHAP_R') ?? '', MAX_CHALLENGE_BYTES);
  if (user === undefined || user.length > MAX_NAME_LENGTH) return undefined;
  if (response === undefined || response.length !== responseBytes) return undefined;
  if (!keys.has('CHAP_I') && !keys.has('CHAP_C')) return { user, response, peer: undefined };
  const identifier = parseNumber(keys.get('CHAP_I') ?? '', 0, 255);
  const challenge = parseBinary(keys.get('CHAP_C') ?? '', MAX_CHALLENGE_BYTES);
  if (identifier === undefined || challenge === undefined) return undefined;
  return { user, response, peer: { identifier, challenge } };
}

function proof(
  mutual: ChapCredentials,
  algorithm: ChapAlgorithm,
  peer: PeerChallenge,
): readonly TextPair[] {
  const response = chapResponse(algorithm, peer.identifier, mutual.secret, peer.challenge);
  return [
    { key: 'CHAP_N', value: mutual.user },
    { key: 'CHAP_R', value: encodeBinary(response) },
  ];
}

/** Equal lengths, as a constant-time comparison needs. */
function fingerprint(text: string): Uint8Array {
  return createHash('sha256').update(text, 'utf8').digest();
}

/** The security stage: which method, and whether the initiator proved itself. RFC 7143 section 12. */
import type { LiveExport } from '../export.ts';
import type { IscsiLimits } from '../limits.ts';
import type { IscsiLogger } from '../logger.ts';
import { LOGIN_STATUS, type LoginStatus } from '../protocol/bhs.ts';
import type { TextPair } from '../protocol/text.ts';
import { type ChapCandidate, ChapExchange, type ChapStep, type LiveChallenges } from './chap.ts';
import type { LoginThrottle } from './throttle.ts';

/** Who the initiator turned out to be. */
export type Party =
  | { readonly kind: 'target'; readonly live: LiveExport }
  /** Discovery: which exports may be listed. */
  | { readonly kind: 'discovery'; readonly maySee: (live: LiveExport) => boolean };

/** Who asks, as far as is known before any proof. */
export interface Peer {
  readonly initiatorName: string;
  readonly address: string;
}

export interface LoginFailure {
  readonly status: LoginStatus;
  /** For the log. The initiator learns only the status. */
  readonly reason: string;
  readonly user?: string;
}

export interface SecurityHost {
  readonly limits: IscsiLimits;
  readonly logger: IscsiLogger;
  readonly throttle: LoginThrottle;
  readonly liveChallenges: LiveChallenges;
  /** Lets anyone list all targets. */
  readonly openDiscovery: boolean;
  liveExports(): readonly LiveExport[];
}

export interface SecurityStep {
  readonly pairs: readonly TextPair[];
  readonly failure?: LoginFailure;
}

const OWN_KEYS = new Set(['AuthMethod', 'CHAP_A', 'CHAP_N', 'CHAP_R', 'CHAP_I', 'CHAP_C']);
const DISCOVERY = 'discovery';

export class SecurityStage {
  readonly #peer: Peer;
  readonly #live: LiveExport | undefined;
  readonly #host: SecurityHost;
  #chap: ChapExchange<LiveExport> | undefined;
  #party: Party | undefined;

  /** @param live the target that is asked for; `undefined` for discovery. */
  constructor(peer: Peer, live: LiveExport | undefined, host: SecurityHost) {
    this.#peer = peer;
    this.#live = live;
    this.#host = host;
  }

  static owns(key: string): boolean {
    return OWN_KEYS.has(key);
  }

  /** Set once the initiator has shown all that is asked of it. */
  get party(): Party | undefined {
    return this.#party;
  }

  async onKeys(pairs: readonly TextPair[]): Promise<SecurityStep> {
    const keys = new Map(pairs.map(({ key, value }) => [key, value]));
    const methods = keys.get('AuthMethod');
    if (methods !== undefined) return this.#chooseMethod(methods.split(','));
    if (![...keys.keys()].some((key) => key.startsWith('CHAP_'))) return { pairs: [] };
    if (this.#chap === undefined || this.#party !== undefined) {
      return refused(LOGIN_STATUS.initiatorError, 'CHAP keys that were not asked for');
    }
    if (!this.#chap.challenged) return this.#conclude(this.#chap.offer(keys));
    return this.#judge(this.#chap, keys);
  }

  /**
   * The initiator wants to go on without authentication: that is fine where none is asked for.
   *
   * @returns why not, if so.
   */
  refusalWithoutProof(): LoginFailure | undefined {
    if (this.#chap !== undefined) {
      // An exchange has begun; the transit bit that some initiators set early is not granted yet.
      return undefined;
    }
    return this.#goWithout() ? undefined : unproved();
  }

  end(): void {
    this.#chap?.end();
  }

  #chooseMethod(offered: readonly string[]): SecurityStep {
    const candidates = this.#candidates();
    const prefersChap = candidates.length > 0 && offered.includes('CHAP');
    if (prefersChap) {
      this.#chap = new ChapExchange(candidates, this.#host.liveChallenges);
      return { pairs: [{ key: 'AuthMethod', value: 'CHAP' }] };
    }
    if (offered.includes('None') && this.#goWithout()) {
      return { pairs: [{ key: 'AuthMethod', value: 'None' }] };
    }
    return { pairs: [], failure: unproved() };
  }

  /** Everyone the initiator may prove to be: one target, or in discovery all that have secrets. */
  #candidates(): readonly ChapCandidate<LiveExport>[] {
    const exports = this.#live === undefined ? this.#admitted() : [this.#live];
    return exports.flatMap((live) =>
      live.chap === undefined ? [] : [{ id: live, requirement: live.chap }],
    );
  }

  /** Exports that let this initiator in, were it to prove itself. */
  #admitted(): readonly LiveExport[] {
    return this.#host.liveExports().filter((live) => this.#isAdmitted(live));
  }

  #isAdmitted({ admission }: LiveExport): boolean {
    return admission.refusal(this.#peer.initiatorName, this.#peer.address) === undefined;
  }

  #goWithout(): boolean {
    const live = this.#live;
    if (live === undefined) {
      const all = this.#host.openDiscovery;
      this.#party = {
        kind: 'discovery',
        maySee: (each) => this.#isAdmitted(each) && (all || each.chap === undefined),
      };
      return true;
    }
    if (live.chap !== undefined) return false;
    this.#party = { kind: 'target', live };
    return true;
  }

  async #judge(
    chap: ChapExchange<LiveExport>,
    keys: ReadonlyMap<string, string>,
  ): Promise<SecurityStep> {
    const target = this.#live?.options.iqn ?? DISCOVERY;
    const { throttle } = this.#host;
    const waitMs = throttle.admit(this.#peer.address, target);
    if (waitMs === undefined) {
      return refused(LOGIN_STATUS.serviceUnavailable, 'too many failed logins from there');
    }
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const step = chap.answer(keys);
    if (step.kind === 'refused') throttle.failed(this.#peer.address, target);
    else throttle.succeeded(this.#peer.address, target);
    return this.#conclude(step);
  }

  #conclude(step: ChapStep<LiveExport>): SecurityStep {
    if (step.kind === 'refused') {
      const failure = { status: LOGIN_STATUS.authenticationFailure, reason: step.reason };
      return {
        pairs: [],
        failure: step.user === undefined ? failure : { ...failure, user: step.user },
      };
    }
    if (step.kind === 'accepted') {
      const { as } = step;
      this.#party =
        this.#live === undefined
          ? {
              kind: 'discovery',
              maySee: (live) =>
                this.#isAdmitted(live) &&
                (as.includes(live) || live.chap === undefined || this.#host.openDiscovery),
            }
          : { kind: 'target', live: this.#live };
    }
    return { pairs: step.pairs };
  }
}

function unproved(): LoginFailure {
  return {
    status: LOGIN_STATUS.authenticationFailure,
    reason: 'the initiator does not offer the authentication that is asked for',
  };
}

function refused(status: LoginStatus, reason: string): SecurityStep {
  return { pairs: [], failure: { status, reason } };
}

import type { ErrorPlace, RestoreError } from './errors.ts';

/** How far a volume can be trusted, from best to worst. Shown wherever the volume is shown. */
export const HEALTH_STATES = [
  /** It was unmounted, or is consistent by design. */
  'clean',
  /** It was in use; its journal has been replayed in memory, so it reads as after a recovery. */
  'journal replayed',
  /** It was in use and its journal was not applied: the last changes may be missing or half done. */
  'stale',
  /** Some structures are damaged; what is shown is right, and something is missing. */
  'partly damaged',
] as const;

export type HealthState = (typeof HEALTH_STATES)[number];

/** Something worth knowing about the volume, in words for its reader. */
export interface Finding {
  readonly message: string;
  readonly where?: ErrorPlace;
}

export interface VolumeHealth {
  readonly state: HealthState;
  /** The first findings, in the order in which they were made. */
  readonly findings: readonly Finding[];
  /** How many more there were. */
  readonly omitted: number;
}

const FINDINGS_MAX = 200;

/** Gathers findings; bounded, since a hostile volume has as many as it likes. */
export class HealthLog {
  #state: HealthState = 'clean';
  readonly #findings: Finding[] = [];
  readonly #seen = new Set<string>();
  #omitted = 0;

  get health(): VolumeHealth {
    return { state: this.#state, findings: [...this.#findings], omitted: this.#omitted };
  }

  /** Adds a finding; the state only ever gets worse. The same finding twice is one. */
  note(state: HealthState, finding: Finding): void {
    if (HEALTH_STATES.indexOf(state) > HEALTH_STATES.indexOf(this.#state)) this.#state = state;
    const { message, where } = finding;
    const key = `${message}\n${where?.structure ?? ''}\n${where?.offset ?? ''}`;
    if (this.#seen.has(key)) return;
    if (this.#findings.length >= FINDINGS_MAX) {
      this.#omitted += 1;
      return;
    }
    this.#seen.add(key);
    this.#findings.push(finding);
  }

  /** An error that was met and worked around: the volume is partly damaged. */
  damage(error: RestoreError): void {
    this.note('partly damaged', { message: error.message, where: error.where });
  }
}

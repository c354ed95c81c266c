/** What a pool and its decoding threads say to each other. */
import type { PlainError } from '../../core/index.ts';
import type { DecodeRequest } from './decoder.ts';

export interface DecodeWorkerData {
  readonly location: string;
  readonly repositoryId: string;
  /** Master key of an encrypted repository. */
  readonly master: Uint8Array | undefined;
  /** Prove every block's full id. */
  readonly checkIds: boolean;
}

/** A result as it crosses threads; errors do not survive structured clone whole. */
export type SerializedResult = Uint8Array | PlainError;

/** A batch to decode; its results come back under the same number. */
export interface DecodeJob {
  readonly number: number;
  readonly batch: readonly DecodeRequest[];
}

/** Asks a thread to end after what it has been given before. */
export const CLOSE = 'close';

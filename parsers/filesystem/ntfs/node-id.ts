import type { NodeId } from '../../../core/index.ts';
import type { FileReference } from './file-record.ts';

/**
 * A node is a file reference, and whether its directory has it as a directory: 32 bits of record
 * number, 16 of sequence, one of kind. So a reference that has gone stale never reads as the file that
 * has the record now, and no directory can be smuggled in as a file, past the check that each lies in
 * one place.
 */
const SEQUENCE_UNIT = 2 ** 32;
const FILE_UNIT = 2 ** 48;

export interface NodeReference extends FileReference {
  readonly isDirectory: boolean;
}

export function nodeOf(number: number, sequence: number, isDirectory: boolean): NodeId {
  return (isDirectory ? 0 : FILE_UNIT) + sequence * SEQUENCE_UNIT + number;
}

export function referenceOf(node: NodeId): NodeReference {
  const isDirectory = node < FILE_UNIT;
  const reference = isDirectory ? node : node - FILE_UNIT;
  return {
    number: reference % SEQUENCE_UNIT,
    sequence: Math.floor(reference / SEQUENCE_UNIT),
    isDirectory,
  };
}

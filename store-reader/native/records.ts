/** The JSON records of a repository: its own, its restore points, its commits. */
import { z } from 'zod';
import { RestoreError } from '../../core/index.ts';
import {
  BLOCK_SIZE_MAX,
  BLOCK_SIZE_MIN,
  type BlockReference,
  FORMAT_VERSION,
  ID_BYTES,
  PACK_ID_BYTES,
} from './format.ts';
import { KeySlot } from './keys.ts';

const hexId = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`));
const count = z.int().min(0);
const time = z.iso.datetime();

/** `repository.json`. Written once; its checksum stands beside it in the file. */
const RepositorySchema = z.object({
  format: z.literal(FORMAT_VERSION),
  id: hexId(16),
  createdAt: time,
  blockSize: z.int().min(BLOCK_SIZE_MIN).max(BLOCK_SIZE_MAX),
  hash: z.literal('sha256'),
  codec: z.enum(['zstd', 'lz4', 'raw']),
  level: z.int().min(1).max(19),
  encryption: z
    .object({ cipher: z.literal('aes-256-gcm'), keys: z.array(KeySlot).min(1).max(64) })
    .optional(),
});
export type RepositoryRecord = z.infer<typeof RepositorySchema>;

const ReferenceSchema = z.object({
  id: hexId(ID_BYTES),
  pack: hexId(PACK_ID_BYTES),
  offset: z.int().min(0).max(0xffff_ffff),
  length: z.int().min(0).max(0xff_ffff),
  flags: z.int().min(0).max(0xff),
});
export type ReferenceRecord = z.infer<typeof ReferenceSchema>;

const DiskSchema = z.object({
  id: z.string().regex(/^disk\d+$/),
  /** The base name of what was captured, for people. */
  name: z.string(),
  /** The image format it was read from. */
  sourceFormat: z.string(),
  sizeBytes: count,
  sectorSize: z.union([z.literal(512), z.literal(4096)]),
  /** The top page of the block map; absent when the whole disk is zeros. */
  root: ReferenceSchema.optional(),
});
export type DiskRecord = z.infer<typeof DiskSchema>;

export const CONSISTENCIES = ['crash', 'filesystem', 'application'] as const;

const StatisticsSchema = z.object({
  /** Sum of the disks' sizes. */
  sizeBytes: count,
  /** Read from the source; the rest was known to be zero or unchanged. */
  readBytes: count,
  /** Of those, all zero. */
  zeroBytes: count,
  /** Of those, stored already. */
  deduplicatedBytes: count,
  /** Of those, stored by this capture, before compression. */
  newBytes: count,
  /** Put into the repository, everything included. */
  writtenBytes: count,
  durationMs: count,
});
export type CaptureStatistics = z.infer<typeof StatisticsSchema>;

const PointSchema = z.object({
  format: z.literal(FORMAT_VERSION),
  id: hexId(16),
  machine: z.string().min(1).max(255),
  takenAt: time,
  capturedAt: time,
  consistency: z.enum(CONSISTENCIES),
  /** Never pruned. */
  archived: z.boolean(),
  tags: z.record(z.string(), z.string()),
  /** The machine's own configuration (a VM definition), as it was given. */
  configuration: z.object({ name: z.string(), content: z.string() }).optional(),
  disks: z.array(DiskSchema).max(256),
  /** The packs it needs: a list of pages of pack ids, see `pack-set.ts`. */
  packs: z.object({ count, pages: z.array(ReferenceSchema) }),
  statistics: StatisticsSchema,
});
export type PointRecord = z.infer<typeof PointSchema>;

const PointNameSchema = z.object({
  id: hexId(16),
  machine: z.string().min(1).max(255),
  takenAt: time,
  /** SHA-256 of the point object as stored. */
  sha256: hexId(32),
});
/** A restore point as commits name it. */
export type PointName = z.infer<typeof PointNameSchema>;

const CommitSchema = z.object({
  format: z.literal(FORMAT_VERSION),
  number: z.int().min(1),
  at: time,
  /** SHA-256 of the commit before as stored; absent in the first. */
  previous: hexId(32).optional(),
  add: z.array(PointNameSchema),
  drop: z.array(hexId(16)),
  /** Now and then: all points that are alive after this commit. */
  checkpoint: z.array(PointNameSchema).optional(),
});
export type CommitRecord = z.infer<typeof CommitSchema>;

const SCHEMAS = {
  repository: RepositorySchema,
  point: PointSchema,
  commit: CommitSchema,
} as const;

interface Records {
  repository: RepositoryRecord;
  point: PointRecord;
  commit: CommitRecord;
}

/**
 * Parses and checks a record.
 *
 * @throws RestoreError `CORRUPT` when it is not of its shape, `UNSUPPORTED` when it is of a newer
 *   format.
 */
export function parseRecord<K extends keyof Records>(
  kind: K,
  json: string,
  object: string,
): Records[K] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new RestoreError('CORRUPT', `a ${kind} record is not JSON`, { where: { object }, cause });
  }
  const format = (value as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > FORMAT_VERSION) {
    throw new RestoreError('UNSUPPORTED', `this ${kind} is of a newer repository format`, {
      where: { object, expected: FORMAT_VERSION, found: format },
      hint: 'Use a newer version of Rehydrate.',
    });
  }
  const parsed = SCHEMAS[kind].safeParse(value);
  if (parsed.success) return parsed.data as Records[K];
  throw new RestoreError('CORRUPT', `a ${kind} record is not of its shape`, {
    where: { object, found: z.prettifyError(parsed.error).slice(0, 300) },
  });
}

export function referenceOf(record: ReferenceRecord): BlockReference {
  return { ...record, id: Buffer.from(record.id, 'hex') };
}

export function recordOf(reference: BlockReference): ReferenceRecord {
  const { pack, offset, length, flags } = reference;
  return { id: Buffer.from(reference.id).toString('hex'), pack, offset, length, flags };
}

export type { Backend, ObjectSink } from './backends/backend.ts';
export { DirectoryBackend } from './backends/directory.ts';
export { changedExtents } from './compare.ts';
export { CHECKPOINT_INTERVAL, type Catalog, encodeCommit } from './native/catalog.ts';
export { encodeBlock } from './native/codec.ts';
export { type DecodeRequest, InlineDecoder } from './native/decoder.ts';
export { NativeDisk } from './native/disk.ts';
export { wrapObject } from './native/envelope.ts';
export {
  BLOCK_SIZE_DEFAULT,
  BLOCK_SIZE_MAX,
  BLOCK_SIZE_MIN,
  type BlockReference,
  CLAIMS_PREFIX,
  type Codec,
  commitObject,
  FANOUT,
  FORMAT_VERSION,
  ID_BYTES,
  idKey,
  keyOf,
  PACKS_PREFIX,
  POINTS_PREFIX,
  packObject,
  pointObject,
  REPOSITORY_OBJECT,
  treeLevels,
} from './native/format.ts';
export { type Credential, KeyRing, wrapMasterKey } from './native/keys.ts';
export { cutPackSet, readPackSet } from './native/pack-set.ts';
export {
  PACK_HEADER_BYTES,
  type PackKind,
  type PackRecord,
  packFooter,
  packHeader,
  readPackDirectory,
} from './native/pack.ts';
export { encodePage, type Page, type PageEntry } from './native/page.ts';
export {
  type CaptureStatistics,
  CONSISTENCIES,
  type CommitRecord,
  type DiskRecord,
  type PointName,
  type PointRecord,
  type ReferenceRecord,
  type RepositoryRecord,
  recordOf,
  referenceOf,
} from './native/records.ts';
export {
  encodeRepositoryRecord,
  NativeRepository,
  type OpenOptions,
} from './native/repository.ts';
export { Sealer } from './native/seal.ts';
export { pointsOf, type Resolved, resolveAddress, resolveDisk } from './resolve.ts';

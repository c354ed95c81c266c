export { addOnsAllowed } from './add-ons.ts';
export { type Address, checkMachineName, nearest, parseAddress } from './address.ts';
export { type BlockDevice, isBlockDevice } from './block-device.ts';
export * from './block-source.ts';
export { Budget, type BudgetLimits } from './budget.ts';
export { BytesSource } from './bytes-source.ts';
export { crc32c, crc32cPortable } from './crc32c.ts';
export {
  asRestoreError,
  ERROR_CODES,
  type ErrorCode,
  type ErrorPlace,
  fromPlainError,
  isRestoreError,
  type PlainError,
  RestoreError,
  type RestoreErrorOptions,
  throwIfAborted,
  toPlainError,
} from './errors.ts';
export type { FileOpener } from './file-access.ts';
export { nameFromBytes, nameToBytes } from './file-name.ts';
export { jsonText, nameForJson, showName, showText } from './shown-name.ts';
export type * from './file-system.ts';
export { borrowed } from './filters/borrowed.ts';
export { budgeted } from './filters/budgeted.ts';
export { type CacheOptions, cache } from './filters/cache.ts';
export { concat } from './filters/concat.ts';
export { type Fault, faulty } from './filters/faulty.ts';
export { type ReadaheadOptions, readahead } from './filters/readahead.ts';
export { type Replacement, replaced } from './filters/replaced.ts';
export { slice } from './filters/slice.ts';
export { striped } from './filters/striped.ts';
export { zeroSource } from './filters/zeros.ts';
export {
  type Finding,
  HEALTH_STATES,
  HealthLog,
  type HealthState,
  type VolumeHealth,
} from './health.ts';
export * as layout from './layout.ts';
export { type ContentPlace, isLocated, type LocatedSource } from './located.ts';
export { Ranges } from './ranges.ts';
export type { RecordMap, RecordName, RecordRun } from './record-map.ts';
export { isAllZero, zeroView } from './zeros.ts';

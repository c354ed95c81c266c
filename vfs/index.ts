/** The public door of `vfs/`. */
export {
  encodeMember,
  type EncodedMember,
  tarEnd,
  type TarMember,
} from './archive/tar-format.ts';
export { ZIP_NAMES_COMMENT, ZipNames } from './archive/zip-names.ts';
export { compareByListing } from './compare/by-listing.ts';
export { compareByRecords } from './compare/by-records.ts';
export { ChangedVolumes } from './compare/changed-volumes.ts';
export {
  compareMachines,
  type ComparedVolume,
  type MachineChange,
  type MachineComparison,
  type MachineDifference,
} from './compare/compare-machines.ts';
export type { Aspect, FileChange } from './compare/model.ts';
export { RecordSide } from './compare/record-side.ts';
export {
  type HistoryCounts,
  historyOf,
  type HistorySource,
  type Version,
} from './history/history.ts';
export { type FoundFile, lookFor, type Wanted } from './history/look.ts';
export { Machine, type MachineAddress } from './machine.ts';
export { nameForJson, showName, showText } from '../core/index.ts';
export {
  joinPath,
  type Mount,
  type OpenVolume,
  type Place,
  type TreeEntry,
  type VolumeHandle,
} from './place.ts';
export type { PlaceProblem, Places } from './places.ts';
export type { ResolvedPath, ResolveOptions } from './resolve.ts';
export type { Tree } from './tree.ts';
export { walk, type WalkOptions, type WalkStep } from './walk.ts';

/** The public door of `vfs/`. */
export { Machine, type MachineAddress, type MachineDisk, type MachineVolume } from './machine.ts';
export { nameForJson, showName } from './names.ts';
export {
  joinPath,
  type Mount,
  type OpenVolume,
  type Place,
  type TreeEntry,
  type VolumeHandle,
} from './place.ts';
export { type ResolvedPath, type ResolveOptions, resolvePath } from './resolve.ts';
export { Tree } from './tree.ts';
export { byName, walk, type WalkOptions, type WalkStep } from './walk.ts';

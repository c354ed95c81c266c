/** The public door of `parsers/`. */
export { type Identification } from './filesystem/driver.ts';
export {
  identifyFileSystem,
  openFileSystem,
  type OpenFileSystemOptions,
} from './filesystem/open.ts';
export {
  IMAGE_FORMATS,
  type ImageFormat,
  type OpenImage,
  type OpenImageOptions,
} from './image/image.ts';
export { openImage } from './image/open.ts';
export { encodeImage } from './image/encode.ts';
export { type IdentityReport, newIdentity } from './identity/new-identity.ts';
export { placeVolumes, type PlaceVolumesOptions } from './machine/place-volumes.ts';
export type { MachinePlaces, Mount, Unplaced } from './machine/places.ts';
export type { Partition, PartitionTable } from './partition/partition.ts';
export { findVolumes, type FindVolumesOptions } from './volume/find-volumes.ts';
export {
  type ContentKind,
  type DiskVolumes,
  type MachineDisk,
  type MachineVolumes,
  type PhysicalVolume,
  type Volume,
  type VolumeContent,
  type VolumeGroup,
} from './volume/model.ts';
export { resolveVolume, type VolumeAt, type VolumeWish } from './volume/resolve.ts';

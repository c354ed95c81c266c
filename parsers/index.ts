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

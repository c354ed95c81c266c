export {
  type CaptureDisk,
  type CaptureOptions,
  type CapturePlan,
  type CaptureProgress,
  type CaptureResult,
  capture,
} from './capture.ts';
export type { EncodeLink } from './encode-pool.ts';
export { type EncodeWorkerData, serveEncodeWorker, startInlineEncoder } from './encode-worker.ts';
export { localFiles } from './file-source.ts';
export { type InitOptions, initRepository } from './init.ts';
export {
  type DiskDamage,
  type ObjectDamage,
  type VerifyOptions,
  type VerifyReport,
  type VerifyScope,
  verifyRepository,
} from './verify.ts';
export { type WriteDiskOptions, type WriteProgress, writeDisk } from './disk-writer.ts';
export { Overlay } from './overlay/overlay.ts';
export {
  type CreateOverlayOptions,
  createOverlay,
  deleteOverlay,
  type ListedOverlay,
  listOverlays,
  type OverlayMeta,
  openOverlay,
  prepareOverlay,
  readOverlayRecord,
} from './overlay/overlays.ts';
export type { OverlayFile, OverlayFolder } from './overlay/folder.ts';
export type { OverlayRecord } from './overlay/record.ts';
export { type CommitOptions, commitOverlay } from './overlay/commit.ts';

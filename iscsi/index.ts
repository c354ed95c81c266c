export type { TargetChap, TargetExport } from './export.ts';
export type { IscsiLimits } from './limits.ts';
export type { IscsiLogger } from './logger.ts';
export type { ChapAlgorithm } from './login/chap-algorithms.ts';
export type { PortalAddress } from './portals.ts';
export { type DeviceIdentity, identityOf } from './scsi/logical-unit.ts';
export {
  type ExportSnapshot,
  type IscsiEvent,
  IscsiTarget,
  type IscsiTargetOptions,
  type SessionSnapshot,
} from './target.ts';

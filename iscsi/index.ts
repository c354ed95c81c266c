export type { ReadOnlyExport, TargetChap, TargetExport, WritableExport } from './export.ts';
export type { IscsiLimits } from './limits.ts';
export type { IscsiLogger } from './logger.ts';
export type { AllowList } from './login/admission.ts';
export type { ChapAlgorithm } from './login/chap-algorithms.ts';
export type { PortalAddress } from './portals.ts';
export { type DeviceIdentity, identityOf, type SpaceUsage } from './scsi/logical-unit.ts';
export type { ExportSnapshot, IscsiEvent, SessionSnapshot } from './snapshots.ts';
export { IscsiTarget, type IscsiTargetOptions } from './target.ts';

export { WINDOWS_SECRET_LENGTH_MAX } from './chap.ts';
export {
  type ExportListing,
  type ExportRecord,
  type ExportRequest,
  formatHostPort,
} from './export-request.ts';
export { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
export type { HostPort } from './iscsi-messages.ts';
export type { OverlayListing } from './overlays.ts';

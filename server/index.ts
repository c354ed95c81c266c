/**
 * The public door of `server/`. What is heavy is loaded when it is used: commands that only start an
 * inspector must not wait for the gateway's code.
 */
import type { Gateway, GatewayOptions } from './gateway.ts';
import type { CopyFrame } from './inspect/copy/frames.ts';

export { WINDOWS_SECRET_LENGTH_MAX } from './chap.ts';
export type { ExportListing, ExportRecord, ExportRequest } from './export-request.ts';
export type { Gateway, GatewayOptions } from './gateway.ts';
export { formatHostPort } from './host-port.ts';
export type { CopyEntry } from './inspect/copy/decode-frames.ts';
export type { CopyFrame } from './inspect/copy/frames.ts';
export { Inspector, type InspectorOptions } from './inspect/inspector.ts';
export {
  type FindRequest,
  type InspectOutcome,
  type InspectRemark,
  type InspectRequestName,
  type InspectRequests,
  TIMES,
  type TimeKind,
} from './inspect/messages.ts';
export type { HostPort } from './iscsi-messages.ts';
export type { OverlayListing } from './overlays.ts';

/** Starts the service; see `gateway.ts`. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = await import('./gateway.ts');
  return await gateway.startGateway(options);
}

/** The frames that an inspector answers a copy with; see `inspect/copy/frames.ts`. */
export async function* copyFrames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<CopyFrame> {
  const { decodeFrames } = await import('./inspect/copy/decode-frames.ts');
  yield* decodeFrames(stream);
}

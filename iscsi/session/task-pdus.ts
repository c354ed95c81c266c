/** The PDUs that answer a SCSI command, data apart. RFC 7143 sections 11.4 and 11.8. */
import { FLAG, TARGET } from '../protocol/bhs.ts';
import type { ScsiStatus } from '../scsi/command.ts';
import { encodeDescriptorSense, encodeSense, type Sense } from '../scsi/sense.ts';
import type { Solicitation } from './data-out.ts';
import { residualFlag, residualOf } from './residual.ts';
import type { ScsiTask } from './scsi-task.ts';
import type { TaskHost } from './task-host.ts';

type Sender = Pick<TaskHost, 'writer' | 'stamp' | 'unit'>;

const NOTHING = new Uint8Array(0);

/** A SCSI Response, with sense data if there are any. */
export function sendResponse(
  { writer, stamp, unit }: Sender,
  task: ScsiTask,
  status: ScsiStatus,
  sense?: Sense,
): void {
  const data = sense === undefined ? NOTHING : senseSegment(unit.modes.descriptorSense, sense);
  const at = writer.begin(TARGET.scsiResponse, data.length);
  const view = writer.view;
  const residual = residualOf(task, status, sense);
  view.setUint8(at + 1, FLAG.final | residualFlag(residual));
  view.setUint8(at + 3, status);
  view.setUint32(at + 16, task.tag);
  stamp(view, at, true);
  view.setUint32(at + 36, task.dataPdus);
  view.setUint32(at + 44, Math.abs(residual));
  writer.end(data);
}

/** Asks for the next burst of a command's data. */
export function sendR2t({ writer, stamp }: Sender, task: ScsiTask, asked: Solicitation): void {
  const at = writer.begin(TARGET.r2t, 0);
  const view = writer.view;
  view.setUint32(at + 16, task.tag);
  view.setUint32(at + 20, asked.targetTransferTag);
  stamp(view, at, false);
  view.setUint32(at + 36, asked.sequence);
  view.setUint32(at + 40, asked.offsetBytes);
  view.setUint32(at + 44, asked.lengthBytes);
  writer.end();
  task.dataPdus += 1;
}

/** Sense data with their length in front. RFC 7143 section 11.4.7. */
function senseSegment(asDescriptors: boolean, sense: Sense): Uint8Array {
  const encoded = asDescriptors ? encodeDescriptorSense(sense) : encodeSense(sense);
  const data = new Uint8Array(encoded.length + 2);
  data[1] = encoded.length;
  data.set(encoded, 2);
  return data;
}

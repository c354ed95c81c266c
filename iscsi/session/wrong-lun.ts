/** LUN 0 is all there is: what is answered on another. */
import { headerBytes, type IncomingPdu } from '../protocol/bhs.ts';
import { check, type ScsiOutcome } from '../scsi/command.ts';
import { inquiryOfNothing } from '../scsi/inquiry.ts';
import { REPORT_LUNS } from '../scsi/primary.ts';
import { encodeSense, SENSE } from '../scsi/sense.ts';
import type { ScsiTask } from './scsi-task.ts';

const INQUIRY_OPCODE = 0x12;
const REQUEST_SENSE_OPCODE = 0x03;

export function lunIsZero(pdu: IncomingPdu): boolean {
  const lun = headerBytes(pdu, 8, 8);
  const method = (lun[0] as number) & 0xc0;
  // Peripheral and flat addressing both have a way to write LUN 0. SAM-5 section 4.7.7.
  if (method !== 0 && method !== 0x40) return false;
  return ((lun[0] as number) & 0x3f) === 0 && lun.subarray(1).every((byte) => byte === 0);
}

/** A few commands answer on any LUN. SPC-4 sections 6.6.2, 6.33 and 6.39. */
export function outcomeOfWrongLun({ cdb, command }: ScsiTask): ScsiOutcome | undefined {
  const opcode = cdb.getUint8(0);
  if (command === REPORT_LUNS) return undefined;
  if (opcode === INQUIRY_OPCODE) return inquiryOfNothing(cdb.getUint16(3));
  if (opcode === REQUEST_SENSE_OPCODE) {
    const data = encodeSense(SENSE.logicalUnitNotSupported);
    return { kind: 'data', data: data.subarray(0, cdb.getUint8(4)) };
  }
  return check(SENSE.logicalUnitNotSupported);
}

/** Small commands of every SCSI device. SPC-4 section 6. */
import { asRestoreError } from '../../core/index.ts';
import { GOOD, invalidField, parameterData, type ScsiCommand } from './command.ts';
import { outcomeOfError } from './error-sense.ts';
import { encodeDescriptorSense, encodeSense, SENSE } from './sense.ts';

export const TEST_UNIT_READY: ScsiCommand = {
  name: 'TEST UNIT READY',
  opcode: 0x00,
  usage: '00 00 00 00 00 00',
  reservationRule: 'persistent',
  run: () => GOOD,
};

/** Hands over a deferred error or a waiting unit attention, as SPC-4 section 6.39 wants. */
export const REQUEST_SENSE: ScsiCommand = {
  name: 'REQUEST SENSE',
  opcode: 0x03,
  usage: '03 01 00 00 ff 00',
  ignoresUnitAttention: true,
  reservationRule: 'always',
  run({ cdb, nexus }) {
    const sense = nexus.takeDeferred() ?? nexus.takeAttention() ?? SENSE.none;
    const encode = (cdb.getUint8(1) & 1) === 0 ? encodeSense : encodeDescriptorSense;
    return parameterData(encode(sense), cdb.getUint8(4));
  },
};

const WELL_KNOWN_ONLY = 1;
const LAST_SELECT_REPORT = 2;

/** LUN 0 is all there is. */
export const REPORT_LUNS: ScsiCommand = {
  name: 'REPORT LUNS',
  opcode: 0xa0,
  usage: 'a0 00 ff 000000 ffffffff 00 00',
  ignoresUnitAttention: true,
  reservationRule: 'always',
  run({ cdb }) {
    const select = cdb.getUint8(2);
    if (select > LAST_SELECT_REPORT) return invalidField(2);
    const listed = select === WELL_KNOWN_ONLY ? 0 : 8;
    const data = new Uint8Array(8 + listed);
    data[3] = listed;
    return parameterData(data, cdb.getUint32(6));
  },
};

const START = 0x01;
const NO_FLUSH = 0x04;

export const START_STOP_UNIT: ScsiCommand = {
  name: 'START STOP UNIT',
  opcode: 0x1b,
  usage: '1b 01 00 0f f7 00',
  reservationRule: 'reads',
  /** Stopping makes durable what was written, unless told not to. SBC-3 section 5.25. */
  run({ cdb, unit }) {
    const keepsCache = (cdb.getUint8(4) & (START | NO_FLUSH)) !== 0;
    if (keepsCache || unit.medium === undefined) return GOOD;
    return unit.medium.flush().then(
      () => GOOD,
      (error: unknown) => outcomeOfError(asRestoreError(error, 'the disk cannot be flushed')),
    );
  },
};

export const PREVENT_ALLOW: ScsiCommand = {
  name: 'PREVENT ALLOW MEDIUM REMOVAL',
  opcode: 0x1e,
  usage: '1e 00 00 00 03 00',
  reservationRule: 'reads',
  run: () => GOOD,
};

const ACTIVE_OPTIMIZED = 0x00;

/** One group, always active: SPC-4 section 6.37. */
export const REPORT_TARGET_PORT_GROUPS: ScsiCommand = {
  name: 'REPORT TARGET PORT GROUPS',
  opcode: 0xa3,
  serviceAction: 0x0a,
  usage: 'a3 ff 00000000 ffffffff 00 00',
  reservationRule: 'persistent',
  run({ cdb }) {
    const format = cdb.getUint8(1) >> 5;
    if (format > 1) return invalidField(1, 7);
    const group = Uint8Array.of(ACTIVE_OPTIMIZED, 0x01, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1);
    const extended = format === 1 ? Uint8Array.of(0x10, 0, 0, 0) : new Uint8Array(0);
    const data = Buffer.concat([new Uint8Array(4), extended, group]);
    data.writeUInt32BE(data.length - 4, 0);
    return parameterData(data, cdb.getUint32(6));
  },
};

/** ATS, ATSS, CTSS, LURS, TRS: what task management does here. SPC-4 section 6.36. */
const TASK_FUNCTIONS = 0x80 | 0x40 | 0x10 | 0x08 | 0x02;

export const REPORT_TASK_FUNCTIONS: ScsiCommand = {
  name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
  opcode: 0xa3,
  serviceAction: 0x0d,
  usage: 'a3 1f 80 000000 ffffffff 00 00',
  reservationRule: 'reads',
  run({ cdb }) {
    const extended = (cdb.getUint8(2) & 0x80) !== 0;
    const data = new Uint8Array(extended ? 16 : 4);
    data[0] = TASK_FUNCTIONS;
    if (extended) data[3] = data.length - 4;
    return parameterData(data, cdb.getUint32(6));
  },
};

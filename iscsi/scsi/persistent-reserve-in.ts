/** PERSISTENT RESERVE IN. SPC-4 section 6.15. */
import {
  type CommandContext,
  parameterData,
  type ScsiCommand,
  type ScsiOutcome,
  SCSI_STATUS,
} from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';

const HEADER_BYTES = 8;
const KEY_BYTES = 8;
const RESERVATION_BYTES = 16;
const STATUS_BYTES = 24;
const TARGET_PORT = 1;
/** TransportID of iSCSI with the session's ISID: SPC-4 section 7.6.4.6, format 01b. */
const TRANSPORT_ID_ISCSI = 0x45;

export const PERSISTENT_RESERVE_IN: readonly ScsiCommand[] = [
  service('READ KEYS', 0x00, readKeys),
  service('READ RESERVATION', 0x01, readReservation),
  service('REPORT CAPABILITIES', 0x02, ({ readOnly }) =>
    // CRH and ATP_C, TMV: all six types. A read-only unit registers nobody.
    Uint8Array.of(0, 8, readOnly ? 0x10 : 0x14, 0x80, readOnly ? 0 : 0xea, readOnly ? 0 : 1, 0, 0),
  ),
  service('READ FULL STATUS', 0x03, readFullStatus),
];

function service(
  name: string,
  serviceAction: number,
  build: (unit: LogicalUnit) => Uint8Array,
): ScsiCommand {
  return {
    name: `PERSISTENT RESERVE IN: ${name}`,
    opcode: 0x5e,
    serviceAction,
    usage: '5e 1f 0000000000 ffff 00',
    reservationRule: 'always',
    run: ({ cdb, unit }: CommandContext): ScsiOutcome => {
      // SPC-2 section 5.5.1: it conflicts with a reservation of the other kind, whoever holds that.
      if (unit.reservedBy !== undefined) {
        return { kind: 'status', status: SCSI_STATUS.reservationConflict };
      }
      return parameterData(build(unit), cdb.getUint16(7));
    },
  };
}

function readKeys({ persistent }: LogicalUnit): Uint8Array {
  const keys = [...persistent.registrations.values()];
  const data = Buffer.alloc(HEADER_BYTES + keys.length * KEY_BYTES);
  data.writeUInt32BE(persistent.generation, 0);
  data.writeUInt32BE(keys.length * KEY_BYTES, 4);
  keys.forEach((key, index) => data.writeBigUInt64BE(key, HEADER_BYTES + index * KEY_BYTES));
  return data;
}

function readReservation({ persistent }: LogicalUnit): Uint8Array {
  const { reservation } = persistent;
  const bodyBytes = reservation === undefined ? 0 : RESERVATION_BYTES;
  const data = Buffer.alloc(HEADER_BYTES + bodyBytes);
  data.writeUInt32BE(persistent.generation, 0);
  data.writeUInt32BE(bodyBytes, 4);
  if (reservation === undefined) return data;
  data.writeBigUInt64BE(persistent.holderKey, HEADER_BYTES);
  data[HEADER_BYTES + 13] = reservation.type;
  return data;
}

function readFullStatus({ persistent }: LogicalUnit): Uint8Array {
  const { reservation } = persistent;
  const descriptors = [...persistent.registrations].map(([port, key]) => {
    const transport = transportId(port);
    const bytes = Buffer.alloc(STATUS_BYTES);
    bytes.writeBigUInt64BE(key, 0);
    if (reservation !== undefined && persistent.isHolder(port)) {
      bytes[12] = 0x01; // R_HOLDER
      bytes[13] = reservation.type;
    }
    bytes.writeUInt16BE(TARGET_PORT, 18);
    bytes.writeUInt32BE(transport.length, 20);
    return Buffer.concat([bytes, transport]);
  });
  const data = Buffer.concat([new Uint8Array(HEADER_BYTES), ...descriptors]);
  data.writeUInt32BE(persistent.generation, 0);
  data.writeUInt32BE(data.length - HEADER_BYTES, 4);
  return data;
}

function transportId(port: string): Uint8Array {
  const name = Buffer.from(port, 'utf8');
  // The name ends in NUL, is padded to four bytes, and the whole is at least 24 bytes long.
  const bytes = Buffer.alloc(Math.max(24, 4 + ((name.length + 4) & ~3)));
  bytes[0] = TRANSPORT_ID_ISCSI;
  bytes.writeUInt16BE(bytes.length - 4, 2);
  name.copy(bytes, 4);
  return bytes;
}

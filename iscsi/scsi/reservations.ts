/** RESERVE and RELEASE (SPC-2 sections 7.21, 7.23); PERSISTENT RESERVE IN (SPC-4 section 6.15). */
import { GOOD, parameterData, type ScsiCommand } from './command.ts';

const CAPABILITIES_BYTES = 8;
/** CRH: RESERVE and RELEASE of SPC-2 are there. */
const COMPATIBLE_RESERVATIONS = 0x10;

export const RESERVATION_COMMANDS: readonly ScsiCommand[] = [
  {
    name: 'RESERVE(6)',
    opcode: 0x16,
    usage: '16 00 00 00 00 00',
    run({ unit, nexus }) {
      unit.reservedBy = nexus;
      return GOOD;
    },
  },
  {
    name: 'RELEASE(6)',
    opcode: 0x17,
    usage: '17 00 00 00 00 00',
    // From an initiator that holds nothing it is no error, and does nothing.
    ignoresReservation: true,
    run({ unit, nexus }) {
      if (unit.reservedBy === nexus) unit.reservedBy = undefined;
      return GOOD;
    },
  },
  persistentReserveIn('READ KEYS', 0x00, () => new Uint8Array(8)),
  persistentReserveIn('READ RESERVATION', 0x01, () => new Uint8Array(8)),
  persistentReserveIn('REPORT CAPABILITIES', 0x02, () => {
    const data = new Uint8Array(CAPABILITIES_BYTES);
    data[1] = CAPABILITIES_BYTES;
    data[2] = COMPATIBLE_RESERVATIONS;
    return data;
  }),
  persistentReserveIn('READ FULL STATUS', 0x03, () => new Uint8Array(8)),
];

/** Generation 0 and no registrations: nothing can register on a read-only unit. */
function persistentReserveIn(
  name: string,
  serviceAction: number,
  build: () => Uint8Array,
): ScsiCommand {
  return {
    name: `PERSISTENT RESERVE IN: ${name}`,
    opcode: 0x5e,
    serviceAction,
    usage: `5e ${(0x1f).toString(16)} 0000000000 ffff 00`,
    ignoresReservation: true,
    run: ({ cdb }) => parameterData(build(), cdb.getUint16(7)),
  };
}

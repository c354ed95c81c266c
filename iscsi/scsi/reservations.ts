/** RESERVE and RELEASE (SPC-2 sections 7.21, 7.23), and which commands a reservation lets through. */
import { GOOD, type ScsiCommand, type ScsiOutcome, SCSI_STATUS } from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';
import { PERSISTENT_RESERVE_IN } from './persistent-reserve-in.ts';
import { PERSISTENT_RESERVE_OUT } from './persistent-reserve-out.ts';

export const CONFLICT: ScsiOutcome = {
  kind: 'status',
  status: SCSI_STATUS.reservationConflict,
};

/**
 * Which reservations of others let a command through:
 *
 * - `always`: every one;
 * - `persistent`: persistent ones, whatever their type, but not RESERVE(6);
 * - `reads`: persistent ones that exclude only writers;
 * - `writes`: none. What no row says.
 */
export type ReservationRule = 'always' | 'persistent' | 'reads' | 'writes';

/** True when somebody else's reservation keeps the command out. SPC-4 table 51, SPC-2 table 10. */
export function isReservedAway(rule: ReservationRule, unit: LogicalUnit, nexus: Nexus): boolean {
  if (rule === 'always') return false;
  if (unit.reservedBy !== undefined && unit.reservedBy !== nexus) return true;
  if (rule === 'persistent' || unit.persistent.reservation === undefined) return false;
  return !unit.persistent.allows(nexus.portName, rule === 'writes');
}

export const RESERVATION_COMMANDS: readonly ScsiCommand[] = [
  {
    name: 'RESERVE(6)',
    opcode: 0x16,
    usage: '16 00 00 00 00 00',
    reservationRule: 'persistent',
    run({ unit, nexus }) {
      const persistent = besidePersistent(unit, nexus);
      if (persistent !== undefined) return persistent;
      unit.reservedBy = nexus;
      return GOOD;
    },
  },
  {
    name: 'RELEASE(6)',
    opcode: 0x17,
    usage: '17 00 00 00 00 00',
    // From an initiator that holds nothing it is no error, and does nothing.
    reservationRule: 'always',
    run({ unit, nexus }) {
      const persistent = besidePersistent(unit, nexus);
      if (persistent !== undefined) return persistent;
      if (unit.reservedBy === nexus) unit.reservedBy = undefined;
      return GOOD;
    },
  },
  ...PERSISTENT_RESERVE_IN,
  ...PERSISTENT_RESERVE_OUT,
];

/**
 * While persistent reservations are in use those of SPC-2 do nothing: for a port that may go on
 * they succeed, for others they conflict. SPC-4 section 5.13.3.
 */
function besidePersistent(unit: LogicalUnit, nexus: Nexus): ScsiOutcome | undefined {
  const { persistent } = unit;
  if (persistent.registrations.size === 0) return undefined;
  const { reservation } = persistent;
  if (reservation === undefined) {
    return persistent.keyOf(nexus.portName) === undefined ? CONFLICT : GOOD;
  }
  return persistent.allows(nexus.portName, true) ? GOOD : CONFLICT;
}

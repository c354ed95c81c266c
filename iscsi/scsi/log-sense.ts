/** LOG SENSE. SPC-4 section 6.7; logical block provisioning is SBC-3 section 6.4.5. */
import { check, invalidField, parameterData, type ScsiCommand } from './command.ts';
import { LOG_GRAIN_EXPONENT } from './limits-of-unit.ts';
import type { LogicalUnit, SpaceUsage } from './logical-unit.ts';
import { SENSE } from './sense.ts';

const SUPPORTED_PAGES = 0x00;
const PROVISIONING = 0x0c;
const SAVE_PARAMETERS = 0x01;
const ALL_SUBPAGES = 0xff;
const PARAMETER_BYTES = 12;
const RESOURCE = { available: 0x0001, used: 0x0002 } as const;
/** SCOPE: the counts are this unit's own. */
const OF_THIS_UNIT = 0x01;
const FORMAT_BINARY_LIST = 0x03;
const MAX_COUNT = 0xffffffff;

export const LOG_SENSE: ScsiCommand = {
  name: 'LOG SENSE',
  opcode: 0x4d,
  usage: '4d 01 ff ff 00 ffff ffff 00',
  reservationRule: 'persistent',
  writableOnly: true,
  run({ cdb, unit }) {
    if ((cdb.getUint8(1) & SAVE_PARAMETERS) !== 0) return check(SENSE.savingNotSupported);
    const code = cdb.getUint8(2) & 0x3f;
    const subpage = cdb.getUint8(3);
    if (subpage !== 0 && (subpage !== ALL_SUBPAGES || code !== SUPPORTED_PAGES)) {
      return invalidField(3);
    }
    const body = logPage(unit, code, subpage);
    if (body === undefined) return invalidField(2, 5);
    const header = Buffer.of(code | (subpage === 0 ? 0 : 0x40), subpage, 0, 0);
    header.writeUInt16BE(body.length, 2);
    return parameterData(Buffer.concat([header, body]), cdb.getUint16(7));
  },
};

function logPage(unit: LogicalUnit, code: number, subpage: number): Uint8Array | undefined {
  const space = unit.space?.();
  const listed = space === undefined ? [SUPPORTED_PAGES] : [SUPPORTED_PAGES, PROVISIONING];
  if (code === SUPPORTED_PAGES) {
    return Uint8Array.from(subpage === 0 ? listed : listed.flatMap((each) => [each, 0]));
  }
  return code === PROVISIONING && space !== undefined ? provisioning(unit, space) : undefined;
}

function provisioning({ blockBytes }: LogicalUnit, space: SpaceUsage): Uint8Array {
  const grainBytes = blockBytes * 2 ** LOG_GRAIN_EXPONENT;
  return Buffer.concat([
    resource(RESOURCE.available, Math.floor(space.availableBytes / grainBytes)),
    resource(RESOURCE.used, Math.ceil(space.usedBytes / grainBytes)),
  ]);
}

function resource(code: number, count: number): Uint8Array {
  const bytes = Buffer.alloc(PARAMETER_BYTES);
  bytes.writeUInt16BE(code, 0);
  bytes[2] = FORMAT_BINARY_LIST;
  bytes[3] = PARAMETER_BYTES - 4;
  bytes.writeUInt32BE(Math.min(count, MAX_COUNT), 4);
  bytes[8] = OF_THIS_UNIT;
  return bytes;
}

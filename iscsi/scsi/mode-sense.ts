/** MODE SENSE. SPC-4 sections 6.13, 6.14 and 7.5; SBC-3 section 6.5. */
import {
  check,
  invalidField,
  parameterData,
  type ScsiCommand,
  type ScsiOutcome,
} from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { changeable, defaultModes, MODE_PAGES, type ModePage, withSettings } from './mode-pages.ts';
import { SENSE } from './sense.ts';

const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;
const PAGE_CONTROL = { current: 0, changeable: 1, defaults: 2, saved: 3 } as const;
const WRITE_PROTECTED = 0x80;
const DPO_FUA = 0x10;
const MAX_SHORT_BLOCKS = 0xffffffff;

export const MODE_SENSE_COMMANDS: readonly ScsiCommand[] = [
  {
    name: 'MODE SENSE(6)',
    opcode: 0x1a,
    usage: '1a 08 ff ff ff 00',
    reservationRule: 'reads',
    run({ cdb, unit }) {
      const pages = selectPages(cdb, unit);
      if (!(pages instanceof Uint8Array)) return pages;
      const blocks = wantsBlockDescriptor(cdb) ? shortDescriptor(unit) : new Uint8Array(0);
      const header = Uint8Array.of(0, 0, deviceSpecific(unit), blocks.length);
      const data = Buffer.concat([header, blocks, pages]);
      data[0] = data.length - 1;
      return parameterData(data, cdb.getUint8(4));
    },
  },
  {
    name: 'MODE SENSE(10)',
    opcode: 0x5a,
    usage: '5a 18 ff ff 000000 ffff 00',
    reservationRule: 'reads',
    run({ cdb, unit }) {
      const pages = selectPages(cdb, unit);
      if (!(pages instanceof Uint8Array)) return pages;
      const long = (cdb.getUint8(1) & 0x10) !== 0;
      const describe = long ? longDescriptor : shortDescriptor;
      const blocks = wantsBlockDescriptor(cdb) ? describe(unit) : new Uint8Array(0);
      const header = new Uint8Array(8);
      const data = Buffer.concat([header, blocks, pages]);
      data.writeUInt16BE(data.length - 2, 0);
      data[3] = deviceSpecific(unit);
      data[4] = long ? 1 : 0;
      data.writeUInt16BE(blocks.length, 6);
      return parameterData(data, cdb.getUint16(7));
    },
  },
];

function selectPages(cdb: DataView, unit: LogicalUnit): Uint8Array | ScsiOutcome {
  const control = cdb.getUint8(2) >> 6;
  const code = cdb.getUint8(2) & 0x3f;
  const subpage = cdb.getUint8(3);
  if (control === PAGE_CONTROL.saved) return check(SENSE.savingNotSupported);
  const all = code === ALL_PAGES;
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) return invalidField(3);
  if (!all && !MODE_PAGES.has(code)) return invalidField(2, 5);
  const codes = all ? [...MODE_PAGES.keys()] : [code];
  return Buffer.concat(codes.map((each) => modePage(each, control, unit)));
}

function modePage(code: number, control: number, unit: LogicalUnit): Uint8Array {
  const page = MODE_PAGES.get(code) as ModePage;
  const body =
    control === PAGE_CONTROL.changeable
      ? changeable(page, unit)
      : withSettings(page, control === PAGE_CONTROL.defaults ? defaultModes(unit) : unit.modes);
  return Buffer.concat([Uint8Array.of(code, body.length), body]);
}

function deviceSpecific(unit: LogicalUnit): number {
  return DPO_FUA | (unit.readOnly || unit.modes.softwareWriteProtect ? WRITE_PROTECTED : 0);
}

/** DBD, disable block descriptors. */
function wantsBlockDescriptor(cdb: DataView): boolean {
  return (cdb.getUint8(1) & 0x08) === 0;
}

function shortDescriptor(unit: LogicalUnit): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, Math.min(unit.blockCount, MAX_SHORT_BLOCKS));
  view.setUint32(4, unit.blockBytes);
  return new Uint8Array(view.buffer);
}

function longDescriptor(unit: LogicalUnit): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(unit.blockCount));
  view.setUint32(12, unit.blockBytes);
  return new Uint8Array(view.buffer);
}

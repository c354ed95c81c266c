/** MODE SELECT. SPC-4 sections 6.11 and 6.12. */
import {
  check,
  type CommandContext,
  GOOD,
  invalidField,
  type ScsiCommand,
  type ScsiOutcome,
} from './command.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { changeable, MODE_PAGES, type ModeSettings, withSettings } from './mode-pages.ts';
import { SENSE } from './sense.ts';

const PAGE_FORMAT = 0x10;
const SAVE_PAGES = 0x01;
const PAGE_CODE = 0x3f;
const SUBPAGE_FORMAT = 0x40;

export const MODE_SELECT_COMMANDS: readonly ScsiCommand[] = [
  modeSelect(6, 0x15, '15 11 0000 ff 00', (cdb) => cdb.getUint8(4)),
  modeSelect(10, 0x55, '55 11 0000000000 ffff 00', (cdb) => cdb.getUint16(7)),
];

function modeSelect(
  size: 6 | 10,
  opcode: number,
  usage: string,
  listBytes: (cdb: DataView) => number,
): ScsiCommand {
  return {
    name: `MODE SELECT(${size})`,
    opcode,
    usage,
    writableOnly: true,
    dataOutBytes: (cdb) => listBytes(cdb),
    run(context) {
      const { cdb, dataOut } = context;
      const flags = cdb.getUint8(1);
      if ((flags & SAVE_PAGES) !== 0) return invalidField(1, 0);
      if ((flags & PAGE_FORMAT) === 0) return invalidField(1, 4);
      if (listBytes(cdb) === 0) return GOOD;
      const headerBytes = size === 6 ? 4 : 8;
      if (dataOut.length < headerBytes) return check(SENSE.parameterListLength);
      const view = new DataView(dataOut.buffer, dataOut.byteOffset, dataOut.byteLength);
      const descriptorBytes = size === 6 ? view.getUint8(3) : view.getUint16(6);
      const pagesAt = headerBytes + descriptorBytes;
      if (pagesAt > dataOut.length) return check(SENSE.parameterListLength);
      return selectPages(context, dataOut.subarray(pagesAt));
    },
  };
}

/** All pages are checked before anything changes. */
function selectPages(
  { unit, nexus }: CommandContext,
  pages: Uint8Array,
): ScsiOutcome | Promise<ScsiOutcome> {
  const settings: ModeSettings = { ...unit.modes };
  for (let at = 0; at < pages.length; ) {
    const code = (pages[at] as number) & PAGE_CODE;
    const page = MODE_PAGES.get(code);
    const isSubpage = ((pages[at] as number) & SUBPAGE_FORMAT) !== 0;
    if (page === undefined || isSubpage) return check(SENSE.invalidFieldInParameters);
    const body = pages.subarray(at + 2, at + 2 + page.body.length);
    if (pages[at + 1] !== page.body.length) return check(SENSE.invalidFieldInParameters);
    if (body.length < page.body.length) return check(SENSE.parameterListLength);
    if (!changesOnlyThat(unit, code, body)) return check(SENSE.invalidFieldInParameters);
    for (const { setting, byte, mask } of page.bits) {
      settings[setting] = ((body[byte] as number) & mask) !== 0;
    }
    at += 2 + page.body.length;
  }
  const cacheEnds = unit.modes.writeCache && !settings.writeCache;
  Object.assign(unit.modes, settings);
  unit.raiseForOthers(SENSE.modeParametersChanged, nexus);
  // What was written with the cache on must not stay behind.
  return cacheEnds && unit.medium !== undefined ? unit.medium.flush().then(() => GOOD) : GOOD;
}

function changesOnlyThat(unit: LogicalUnit, code: number, body: Uint8Array): boolean {
  const page = MODE_PAGES.get(code);
  if (page === undefined) return false;
  const now = withSettings(page, unit.modes);
  const mask = changeable(page, unit);
  return body.every(
    (byte, index) => ((byte ^ (now[index] as number)) & ~(mask[index] as number) & 0xff) === 0,
  );
}

/** The mode pages, and the few bits of them that can be changed. SPC-4 section 7.5. */
import type { LogicalUnit } from './logical-unit.ts';

/** What MODE SELECT can change. */
export interface ModeSettings {
  /** WCE: a write is answered before it is durable. SBC-3 section 6.5.5. */
  writeCache: boolean;
  /** SWP: writes are refused. SPC-4 section 7.5.8. */
  softwareWriteProtect: boolean;
  /** D_SENSE: sense data come in descriptor format. SPC-4 section 7.5.8. */
  descriptorSense: boolean;
}

/** One bit that means a setting. */
interface ModeBit {
  readonly setting: keyof ModeSettings;
  /** In the page's body, after its header of two bytes. */
  readonly byte: number;
  readonly mask: number;
}

export interface ModePage {
  /** The bytes after the header of two, with all settings off. */
  readonly body: Uint8Array;
  readonly bits: readonly ModeBit[];
}

/** By page code. */
export const MODE_PAGES: ReadonlyMap<number, ModePage> = new Map<number, ModePage>([
  // Caching: reads are cached.
  [0x08, { body: new Uint8Array(18), bits: [{ setting: 'writeCache', byte: 0, mask: 0x04 }] }],
  [
    // Control: each session has a task set of its own (TST); SIMPLE commands may be reordered.
    0x0a,
    {
      body: Uint8Array.of(0x20, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0),
      bits: [
        { setting: 'descriptorSense', byte: 0, mask: 0x04 },
        { setting: 'softwareWriteProtect', byte: 2, mask: 0x08 },
      ],
    },
  ],
  // Informational exceptions: none are reported.
  [0x1c, { body: Uint8Array.of(0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0), bits: [] }],
]);

export function defaultModes({ readOnly }: Pick<LogicalUnit, 'readOnly'>): ModeSettings {
  return { writeCache: !readOnly, softwareWriteProtect: false, descriptorSense: false };
}

/** A page's body with the bits of these settings. */
export function withSettings({ body, bits }: ModePage, settings: ModeSettings): Uint8Array {
  const shown = Uint8Array.from(body);
  for (const { setting, byte, mask } of bits) {
    if (settings[setting]) shown[byte] = (shown[byte] as number) | mask;
  }
  return shown;
}

/** The mask of what can be changed: nothing on a read-only unit. */
export function changeable({ body, bits }: ModePage, { readOnly }: LogicalUnit): Uint8Array {
  const mask = new Uint8Array(body.length);
  if (readOnly) return mask;
  for (const bit of bits) mask[bit.byte] = (mask[bit.byte] as number) | bit.mask;
  return mask;
}

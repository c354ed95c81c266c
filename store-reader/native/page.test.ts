import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRestoreError } from '../../core/index.ts';
import { randomBytes, seededRandom } from '../../test/fixtures/random.ts';
import { encodePage, Page, type PageEntry } from './page.ts';
import { cutPackSet } from './pack-set.ts';

const hexId = (bytes: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((id) => Buffer.from(id).toString('hex'));

/** Entries in few packs or many, zeros among them. */
const entries: fc.Arbitrary<PageEntry[]> = fc
  .array(hexId(16), { minLength: 1, maxLength: 20 })
  .chain((packs) =>
    fc.array(
      fc.option(
        fc.record({
          id: fc.uint8Array({ minLength: 32, maxLength: 32 }),
          pack: fc.constantFrom(...packs),
          offset: fc.nat(0xffff_ffff),
          length: fc.nat(0xff_ffff),
          flags: fc.nat(0x7f),
        }),
        { nil: undefined },
      ),
      { maxLength: 256 },
    ),
  );

describe('an index page', () => {
  it('gives back the entries it was made of', () => {
    fc.assert(
      fc.property(fc.nat(9), entries, (level, wanted) => {
        const page = Page.decode(encodePage(level, wanted));
        expect([page.level, page.count]).toEqual([level, wanted.length]);
        expect(wanted.map((_, slot) => page.entry(slot))).toEqual(wanted);
        expect(page.entry(wanted.length)).toBeUndefined();
        const packs = new Set(wanted.flatMap((entry) => entry?.pack ?? []));
        expect(new Set(page.packs)).toEqual(packs);
        expect(page.packs.length).toBe(packs.size);
      }),
    );
  });

  it('gives one entry as one object, so that its key is made once', () => {
    const entry = {
      id: randomBytes(32, 1),
      pack: 'ab'.repeat(16),
      offset: 64,
      length: 9,
      flags: 1,
    };
    const page = Page.decode(encodePage(0, [entry]));
    expect(page.entry(0)).toBe(page.entry(0));
  });

  it('either decodes or is CORRUPT, whatever the bytes; and never points past its packs', () => {
    const random = seededRandom(1);
    const sound = encodePage(
      0,
      Array.from({ length: 40 }, (_, slot) => ({
        id: randomBytes(32, slot),
        pack: Buffer.from(randomBytes(16, slot % 5)).toString('hex'),
        offset: slot,
        length: slot,
        flags: 1,
      })),
    );
    let refused = 0;
    for (let round = 0; round < 3000; round += 1) {
      const bytes = Uint8Array.from(sound);
      const near = random() < 0.5 ? 16 : bytes.length;
      for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips -= 1) {
        bytes[Math.floor(random() * near)] = Math.floor(random() * 256);
      }
      const cut = random() < 0.2 ? Math.floor(random() * bytes.length) : bytes.length;
      try {
        const page = Page.decode(bytes.subarray(0, cut));
        for (let slot = 0; slot < page.count; slot += 1) {
          const entry = page.entry(slot);
          if (entry !== undefined) expect(entry.pack).toMatch(/^[0-9a-f]{32}$/);
        }
      } catch (error) {
        refused += 1;
        expect(isRestoreError(error, 'CORRUPT')).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(500);
  });
});

describe('the list of packs', () => {
  it('is cut into pages that hold every id once, in order, and end where the ids say', () => {
    // Ids that end in 00 more often than chance would have it.
    const id = fc.tuple(hexId(15), fc.constantFrom('00', '01', 'ff')).map((ends) => ends.join(''));
    fc.assert(
      fc.property(fc.uniqueArray(id, { maxLength: 1200, size: 'max' }), (ids) => {
        const pages = cutPackSet(ids).map(split);
        expect(pages.flat()).toEqual(ids.toSorted());
        pages.forEach((page, number) => {
          const ended = page.at(-1)?.endsWith('00') === true || page.length === 512;
          expect(ended || number === pages.length - 1).toBe(true);
          expect(page.length).toBeGreaterThan(0);
          expect(page.length).toBeLessThanOrEqual(512);
          expect(page.slice(0, -1).some((pack) => pack.endsWith('00'))).toBe(false);
        });
      }),
      { numRuns: 30 },
    );
  });

  it('keeps most pages when one pack is added', () => {
    const ids = Array.from({ length: 20_000 }, (_, seed) =>
      Buffer.from(randomBytes(16, seed)).toString('hex'),
    );
    const known = new Set(cutPackSet(ids).map((page) => Buffer.from(page).toString('hex')));
    const grown = cutPackSet([...ids, '80'.repeat(16)]);
    const fresh = grown.filter((page) => !known.has(Buffer.from(page).toString('hex')));
    expect(known.size).toBeGreaterThan(40);
    expect(fresh.length).toBeLessThanOrEqual(3);
  });
});

function split(page: Uint8Array): string[] {
  return Buffer.from(page).toString('hex').match(/.{32}/g) ?? [];
}

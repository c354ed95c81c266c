import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../test/fixtures/random.ts';
import { BlockCache } from './block-cache.ts';

const MIB = 1024 * 1024;
const BLOCK = 65_536;
/** Of a cache of 8 MiB, 4 MiB are borrowed. */
const BORROWED_BLOCKS = 64;
const OWNED_BLOCKS = 64;

/** A cache of 8 MiB over memory that is written over as soon as it is given back. */
function makeCache() {
  const idle: Uint8Array[] = [];
  const out = new Set<Uint8Array>();
  const cache = new BlockCache(8 * MIB, (bytes) => {
    if (!out.delete(bytes)) throw new Error('given back twice');
    bytes.fill(0xee);
    idle.push(bytes);
  });
  const add = (number: number, reads = 1): void => {
    const bytes = idle.pop() ?? new Uint8Array(BLOCK);
    out.add(bytes);
    bytes.fill(number % 251);
    cache.add(`block ${number}`, bytes, reads);
  };
  return { cache, add, out };
}

const isOf = (bytes: Uint8Array | undefined, number: number): boolean =>
  bytes?.every((byte) => byte === number % 251) === true;

describe('a cache of blocks', () => {
  it('holds as many bytes as it may, and gives all other memory back', () => {
    const { cache, add, out } = makeCache();
    for (let number = 0; number < 1000; number += 1) add(number);
    const held = Array.from({ length: 1000 }, (_, number) => cache.has(`block ${number}`));
    expect(held.filter(Boolean)).toHaveLength(BORROWED_BLOCKS + OWNED_BLOCKS);
    expect(out.size).toBe(BORROWED_BLOCKS);
    cache.clear();
    expect(out.size).toBe(0);
  });

  it('keeps a disk that fits, read once from end to end', () => {
    const { cache, add } = makeCache();
    for (let number = 0; number < BORROWED_BLOCKS + OWNED_BLOCKS; number += 1) add(number);
    for (let number = 0; number < BORROWED_BLOCKS + OWNED_BLOCKS; number += 1) {
      expect(isOf(cache.get(`block ${number}`), number)).toBe(true);
    }
  });

  it('shows a block that was read before, and never writes over what it showed', () => {
    const { cache, add } = makeCache();
    const views = new Map<number, Uint8Array>();
    for (let number = 0; number < 500; number += 1) {
      add(number);
      expect(cache.view(`block ${number}`)).toBeUndefined();
      expect(isOf(cache.get(`block ${number}`), number)).toBe(true);
      const view = cache.view(`block ${number}`);
      if (view !== undefined) views.set(number, view);
    }
    expect(views.size).toBe(500);
    for (const [number, view] of views) expect(isOf(view, number)).toBe(true);
  });

  it('does not let one pass drive out what is read again and again', () => {
    const { cache, add } = makeCache();
    add(0, 5);
    expect(cache.view('block 0')).toBeDefined();
    for (let number = 1; number < 2000; number += 1) {
      add(number);
      expect(isOf(cache.view('block 0'), 0)).toBe(true);
    }
  });

  it('makes no memory of its own for a disk much larger than itself, read over and over', () => {
    const { cache, add } = makeCache();
    for (let number = 0; number < 200; number += 1) add(number);
    for (let pass = 0; pass < 3; pass += 1) {
      for (let number = 1000; number < 1600; number += 1) add(number);
    }
    // What was owned before is owned still: nothing took its place.
    for (let number = 0; number < OWNED_BLOCKS; number += 1) {
      expect(isOf(cache.view(`block ${number}`), number)).toBe(true);
    }
  });

  it('keeps what comes back after it has left, also when all else is full', () => {
    const { cache, add } = makeCache();
    for (let number = 0; number < 300; number += 1) add(number);
    expect(cache.has('block 200')).toBe(false);
    add(200);
    for (let number = 300; number < 300 + BORROWED_BLOCKS; number += 1) add(number);
    expect(isOf(cache.get('block 200'), 200)).toBe(true);
  });

  it('is right whatever is asked of it in whatever order', () => {
    const { cache, add, out } = makeCache();
    const random = seededRandom(11);
    for (let turn = 0; turn < 20_000; turn += 1) {
      const number = Math.floor(random() ** 2 * 400);
      const name = `block ${number}`;
      const found = random() < 0.5 ? cache.view(name) : cache.get(name);
      if (found !== undefined) {
        if (found[0] !== number % 251 || found.at(-1) !== number % 251) expect(turn).toBe('right');
      } else if (!cache.has(name)) add(number);
      expect(out.size).toBeLessThanOrEqual(BORROWED_BLOCKS);
    }
  });

  it('that owns all its blocks shows them at once', () => {
    const cache = new BlockCache(MIB, undefined);
    cache.add('a', new Uint8Array(BLOCK).fill(1), 0);
    expect(isOf(cache.view('a'), 1)).toBe(true);
  });

  it('too small for any block gives each back', () => {
    let released = 0;
    const cache = new BlockCache(1, () => {
      released += 1;
    });
    cache.add('a', new Uint8Array(BLOCK), 1);
    expect([cache.has('a'), released]).toEqual([false, 1]);
  });
});

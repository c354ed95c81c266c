import { gunzipSync } from 'node:zlib';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { BytesSource, crc32c, isRestoreError } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { readAll } from '../fixtures/file-systems/index.ts';
import { FUZZ_TIMEOUT_MS, roundsOf, runCampaign, SEED } from './campaign.ts';

/**
 * Journals with wrong bytes: replayed, called stale, or refused with a typed error, in time.
 *
 * campaign.ts says how a run is replayed and made longer.
 */
const ROUNDS = roundsOf(500);
const IMAGES = ['log-v3', 'log-v1', 'log-ext3', 'fast'];

describe.each(IMAGES)(`damaged journals: %s, seed ${SEED}`, (name) => {
  it('give typed errors, in time', { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const sound = seedImage(name);
    const places = journalPlaces(sound);
    expect(places.length).toBeGreaterThan(10);
    const states = new Map<string, number>();
    const campaign = { parser: 'ext journal', rounds: ROUNDS, name: () => name };
    await runCampaign(campaign, async (_, random) => {
      const state = await outcome(mutated(sound, places, random));
      states.set(state, (states.get(state) ?? 0) + 1);
    });
    // Damage that never gets past the first check would prove little.
    expect(states.get('journal replayed') ?? 0).toBeGreaterThan(ROUNDS / 50);
    expect(states.get('stale') ?? 0).toBeGreaterThan(ROUNDS / 50);
  });
});

async function outcome(image: Buffer): Promise<string> {
  try {
    const fileSystem = await openFileSystem(new BytesSource(image));
    await readAll(fileSystem, { contentBytes: 1024 * 1024, entries: 200 });
    return fileSystem.health.state;
  } catch (error) {
    if (!isRestoreError(error)) throw error;
    return error.code;
  }
}

function seedImage(name: string): Buffer {
  const place = new URL(`../fixtures/file-systems/dirty/${name}.img.gz`, import.meta.url);
  return gunzipSync(readFileSync(place));
}

/** The blocks of the journal that hold anything at all: those behind its superblock, to its end. */
function journalPlaces(image: Buffer): number[] {
  const places: number[] = [];
  const start = superblockOfJournal(image);
  const end = start + 1024 * image.readUInt32BE(start + 0x10);
  for (let at = start; at < end; at += 1024) {
    if (image.subarray(at, at + 1024).some((byte) => byte !== 0)) places.push(at);
  }
  return places;
}

function superblockOfJournal(image: Buffer): number {
  for (let at = 0; at < image.byteLength; at += 1024) {
    if (image.readUInt32BE(at) === 0xc03b3998 && image.readUInt32BE(at + 4) === 4) return at;
  }
  throw new Error('the image has no journal');
}

/** One to eight changes: a bit, a byte, a 16- or 32-bit extreme, mostly in a block's first bytes. */
function mutated(sound: Buffer, places: readonly number[], random: () => number): Buffer {
  const image = Buffer.from(sound);
  const count = 1 + Math.floor(random() * 8);
  for (let change = 0; change < count; change += 1) {
    const block = places[Math.floor(random() * places.length)] as number;
    const at = block + Math.floor(random() * (random() < 0.7 ? 96 : 1020));
    const kind = Math.floor(random() * 4);
    if (kind === 0) image[at] = (image[at] as number) ^ (1 << Math.floor(random() * 8));
    else if (kind === 1) image[at] = Math.floor(random() * 256);
    else if (kind === 2) image.writeUInt16LE(random() < 0.5 ? 0xffff : 0, at);
    else image.writeUInt32BE(random() < 0.5 ? 0xffff_ffff : Math.floor(random() * 2048), at);
  }
  // Half of the fast commits with a sum that holds, or they would never be looked into.
  if (random() < 0.5) sealFast(image);
  return image;
}

/** Without the inversions before and after. */
function continueCrc32c(sum: number, data: Uint8Array): number {
  return ~crc32c(data, ~sum >>> 0) >>> 0;
}

const TAIL = 8;
const HEAD = Uint8Array.of(9, 0, 8, 0);
const FAST_BLOCKS_MAX = 256;

/** Writes the right sums into the tails of fast commits, as far as their tags can be followed. */
function sealFast(image: Buffer): void {
  const head = image.indexOf(HEAD);
  if (head < 0 || head % 1024 !== 0) return;
  let sum = 0;
  const end = Math.min(image.byteLength, head + FAST_BLOCKS_MAX * 1024);
  for (let block = head; block < end; block += 1024) {
    for (let at = block; at + 4 <= block + 1024; ) {
      const length = image.readUInt16LE(at + 2);
      if (at + 4 + length > block + 1024) return;
      const isTail = image.readUInt16LE(at) === TAIL && length >= 8;
      sum = continueCrc32c(sum, image.subarray(at, at + 4 + (isTail ? 4 : length)));
      if (isTail) {
        image.writeUInt32LE(sum, at + 8);
        sum = 0;
      }
      at += 4 + length;
    }
  }
}

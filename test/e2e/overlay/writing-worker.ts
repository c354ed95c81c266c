/**
 * Writes to an overlay until it is killed: `FOLDER FIRST-NUMBER`. Prints the number of the last write
 * that a flush has covered, a line each.
 */
import { writeSync } from 'node:fs';
import { BytesSource } from '../../../core/index.ts';
import { openOverlay } from '../../../store-writer/index.ts';
import { BATCH_MAX, bytesOf, DISK_BYTES, numberedWrite } from './writes.ts';

const [folder = '', first = ''] = process.argv.slice(2);
const STDOUT = 1;

const base = new BytesSource(new Uint8Array(DISK_BYTES));
const overlay = await openOverlay({ folder, base });
for (let number = Number(first); ; ) {
  const last = number + (number % BATCH_MAX);
  for (; number <= last; number += 1) {
    const write = numberedWrite(number);
    if (write.isDiscard) await overlay.discard(write.offset, write.length);
    else await overlay.writeFrom(bytesOf(number, write), write.offset);
  }
  await overlay.flush();
  writeSync(STDOUT, `${last}\n`);
}

import { readFileSync } from 'node:fs';
import { nameFromBytes } from '../../core/index.ts';

/** What Node puts in the place of bytes that are no UTF-8. */
const REPLACED = '\ufffd';
/** find's own words, which people's fingers know. */
const WORDS_OF_FIND = /^-(name|iname|size|newer|older|type|print0)$/;

/**
 * The command line, each argument without loss: a file's name may be any bytes, and stands in an
 * address as `core/file-name.ts` has it.
 */
export function commandLine(): string[] {
  const [program = '', main = '', ...given] = process.argv;
  const exact = given.some((text) => text.includes(REPLACED)) ? readAgain(given) : given;
  const isFind = exact[0] === 'find';
  return [program, main, ...exact.map((text) => (isFind ? longOption(text) : text))];
}

/** proc(5): /proc/self/cmdline has the arguments as they came, a NUL behind each. */
function readAgain(given: readonly string[]): readonly string[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync('/proc/self/cmdline');
  } catch {
    return given;
  }
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    parts.push(nameFromBytes(bytes.subarray(at, end < 0 ? bytes.length : end)));
    at = end < 0 ? bytes.length : end + 1;
  }
  return parts.length < given.length ? given : parts.slice(parts.length - given.length);
}

function longOption(text: string): string {
  return WORDS_OF_FIND.test(text) ? `-${text}` : text;
}

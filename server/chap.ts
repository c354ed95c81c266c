import { randomInt } from 'node:crypto';
import { RestoreError } from '../core/index.ts';

/** RFC 7143 section 9.2.1 asks for 96 bits; Windows takes 12 to 16 characters. */
const SECRET_LENGTH_MIN = 12;
const SECRET_LENGTH_MAX = 255;
export const WINDOWS_SECRET_LENGTH_MAX = 16;
/** No characters that look alike, and none that a shell or a URL would change. */
const ALPHABET = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';
const NAME = /^[\w.@:-]{1,255}$/;

/** A secret of 16 characters, 93 bits, that every initiator takes. */
export function generateSecret(): string {
  return Array.from(
    { length: WINDOWS_SECRET_LENGTH_MAX },
    () => ALPHABET[randomInt(ALPHABET.length)],
  ).join('');
}

/** @throws RestoreError `INVALID` for a user or secret that initiators would refuse. */
export function checkChap(user: string, secret: string): void {
  if (!NAME.test(user)) {
    throw new RestoreError('INVALID', 'not a CHAP user', {
      where: { found: JSON.stringify(user) },
      hint: 'Use 1 to 255 letters, digits and . _ - @ :.',
    });
  }
  const isPrintable = /^[\x21-\x7e]*$/.test(secret);
  if (isPrintable && secret.length >= SECRET_LENGTH_MIN && secret.length <= SECRET_LENGTH_MAX)
    return;
  throw new RestoreError('INVALID', 'not a CHAP secret', {
    where: { expected: `${SECRET_LENGTH_MIN} to ${SECRET_LENGTH_MAX} printable ASCII characters` },
    hint: `Windows takes at most ${WINDOWS_SECRET_LENGTH_MAX}; leave it away and one is made.`,
  });
}

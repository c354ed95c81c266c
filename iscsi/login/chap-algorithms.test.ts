import { describe, expect, it } from 'vitest';
import { ALL_CHAP_ALGORITHMS, type ChapAlgorithm, chapResponse } from './chap-algorithms.ts';

/** `printf '\x2asecret-of-test\x00…\x0f'` through md5sum, sha1sum, sha256sum, openssl dgst. */
const EXPECTED: Readonly<Record<ChapAlgorithm, string>> = {
  md5: '21ec121f16a2e3b2e8da3bf0880e0d1f',
  sha1: 'aad13dc2718d8dcba0eb704cb5a95658fce4b4f0',
  sha256: '65fe473ad57e520af0f9ce044d12a423512f43d9749c7804bea68b017642cb2f',
  'sha3-256': '62205a0d9e8624eb76cf3895238f8ecff07e27919ae6227450b054bf5aa54293',
};

describe('chapResponse', () => {
  it.each(ALL_CHAP_ALGORITHMS)('hashes identifier, secret and challenge with %s', (algorithm) => {
    const challenge = Uint8Array.from({ length: 16 }, (_, index) => index);
    const response = chapResponse(algorithm, 0x2a, 'secret-of-test', challenge);
    expect(Buffer.from(response).toString('hex')).toBe(EXPECTED[algorithm]);
  });
});

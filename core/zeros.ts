const ZEROS = Buffer.alloc(1024 * 1024);

/** True when every byte is zero. Stops at the first that is not. */
export function isAllZero(data: Uint8Array): boolean {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at < buffer.length; at += ZEROS.length) {
    const length = Math.min(ZEROS.length, buffer.length - at);
    if (buffer.compare(ZEROS, 0, length, at, at + length) !== 0) return false;
  }
  return true;
}

/** A shared view of zeros, never to be written to; `undefined` when longer than 1 MiB. */
export function zeroView(length: number): Uint8Array | undefined {
  return length <= ZEROS.length ? ZEROS.subarray(0, length) : undefined;
}

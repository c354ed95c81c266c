/** A GUID as people and tools write it (UEFI 2.10, appendix A): the first three fields little-endian. */
export function formatGuid(bytes: Uint8Array): string {
  const part = (...places: number[]): string =>
    Buffer.from(places.map((place) => bytes[place] ?? 0)).toString('hex');
  return [part(3, 2, 1, 0), part(5, 4), part(7, 6), part(8, 9), part(10, 11, 12, 13, 14, 15)].join(
    '-',
  );
}

/** A UUID in plain order, as file systems store theirs. */
export function formatUuid(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

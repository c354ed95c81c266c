/** Figures 1, 3 and 4 of the specification: a rotation to the right and an addition, byte by byte. */
export function checksum32(data: Uint8Array, skipped: readonly number[] = [], before = 0): number {
  let sum = before;
  for (let index = 0; index < data.length; index += 1) {
    if (index < 128 && skipped.includes(index)) continue;
    sum = (((sum << 31) | (sum >>> 1)) + (data[index] as number)) >>> 0;
  }
  return sum;
}

/** Figure 2: that of an entry set, which leaves out its own two bytes. */
export function setChecksum(set: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < set.length; index += 1) {
    if (index !== 2 && index !== 3) sum = rotated16(sum) + (set[index] as number);
  }
  return sum & 0xffff;
}

/** Figure 4: that of a name in capitals. */
export function nameHash(name: string): number {
  let sum = 0;
  for (let index = 0; index < name.length; index += 1) {
    const unit = name.charCodeAt(index);
    sum = rotated16(rotated16(sum) + (unit & 0xff)) + (unit >> 8);
  }
  return sum & 0xffff;
}

function rotated16(sum: number): number {
  return ((sum & 1) << 15) | ((sum & 0xffff) >> 1);
}

/** 32-bit serial number arithmetic for CmdSN, StatSN and DataSN. RFC 1982, RFC 7143 section 4.2.2. */

export function serialAdd(serial: number, count: number): number {
  return (serial + count) >>> 0;
}

/** True when `left` comes before `right`. */
export function serialBefore(left: number, right: number): boolean {
  return ((left - right) | 0) < 0;
}

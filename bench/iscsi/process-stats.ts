import { readFileSync } from 'node:fs';

/** What `/proc` tells of a process, its threads together. */
export interface ProcessStats {
  readonly cpuMicroseconds: number;
  readonly peakRssBytes: number;
}

/** Linux counts CPU time for user space in hundredths of a second. */
const MICROSECONDS_PER_TICK = 10_000;

export function statsOf(pid: number): ProcessStats {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may hold blanks; the fields after it are numbered from 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const peakKib = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN);
  return { cpuMicroseconds: ticks * MICROSECONDS_PER_TICK, peakRssBytes: peakKib * 1024 };
}

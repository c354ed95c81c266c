/** Median and range of what was measured, for people and for JSON. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = numbers.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  const lower = sorted.length % 2 === 1 ? upper : (sorted[middle - 1] ?? Number.NaN);
  return {
    min: sorted[0] ?? Number.NaN,
    median: (lower + upper) / 2,
    max: sorted.at(-1) ?? Number.NaN,
  };
}

/** `1.23 (1.10–1.40)`. */
export function formatSpread(numbers: readonly number[], digits = 2): string {
  const { min, median, max } = spreadOf(numbers);
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

/** Round by round, one divided by the other. */
export function ratios(over: readonly number[], under: readonly number[]): number[] {
  return over.map((value, round) => value / (under[round] ?? Number.NaN));
}

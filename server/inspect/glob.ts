/** A pattern for one name, as shells have it: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before any of them. */
export interface Glob {
  matches(name: string): boolean;
}

interface Part {
  /** `any` is `*`: any number of any characters. */
  readonly kind: 'any' | 'one';
  readonly fits: (character: string) => boolean;
}

/** @param ignoreCase by Unicode's simple rules, not by those of any volume. */
export function compileGlob(pattern: string, ignoreCase: boolean): Glob {
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  const parts = parse([...fold(pattern)]);
  return { matches: (name) => matches(parts, [...fold(name)]) };
}

/** Goes back to the last `*` alone, so the work is at most length times length: names are hostile. */
function matches(parts: readonly Part[], name: readonly string[]): boolean {
  let part = 0;
  let at = 0;
  let starPart = -1;
  let starAt = 0;
  while (at < name.length) {
    const wanted = parts[part];
    if (wanted?.kind === 'any') {
      starPart = part;
      starAt = at;
      part += 1;
    } else if (wanted?.fits(name[at] as string) === true) {
      part += 1;
      at += 1;
    } else if (starPart >= 0) {
      part = starPart + 1;
      starAt += 1;
      at = starAt;
    } else {
      return false;
    }
  }
  return parts.slice(part).every(({ kind }) => kind === 'any');
}

function parse(pattern: readonly string[]): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] as string;
    if (character === '*') parts.push({ kind: 'any', fits: () => true });
    else if (character === '?') parts.push({ kind: 'one', fits: () => true });
    else if (character === '[' && classEnd(pattern, at) > 0) {
      const end = classEnd(pattern, at);
      parts.push({ kind: 'one', fits: classTest(pattern.slice(at + 1, end)) });
      at = end;
    } else {
      const isEscape = character === '\\' && at + 1 < pattern.length;
      if (isEscape) at += 1;
      const literal = pattern[at] as string;
      parts.push({ kind: 'one', fits: (found) => found === literal });
    }
  }
  return parts;
}

/** Index of the `]` that ends the class begun at `at`, or -1: then `[` stands for itself. */
function classEnd(pattern: readonly string[], at: number): number {
  const first = pattern[at + 1] === '!' || pattern[at + 1] === '^' ? at + 2 : at + 1;
  return pattern.indexOf(']', first + 1);
}

function classTest(members: readonly string[]): (character: string) => boolean {
  const isNegated = members[0] === '!' || members[0] === '^';
  const own = isNegated ? members.slice(1) : members;
  const ranges: [string, string][] = [];
  for (let at = 0; at < own.length; at += 1) {
    const from = own[at] as string;
    const isRange = own[at + 1] === '-' && at + 2 < own.length;
    ranges.push([from, isRange ? (own[at + 2] as string) : from]);
    if (isRange) at += 2;
  }
  const code = (character: string): number => character.codePointAt(0) ?? 0;
  return (character) =>
    ranges.some(([from, to]) => code(from) <= code(character) && code(character) <= code(to)) !==
    isNegated;
}

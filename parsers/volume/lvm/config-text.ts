import { RestoreError } from '../../../core/index.ts';

/** A value of LVM2's configuration text, lvmbackup's format: see lvm.conf(5), vgcfgbackup(8). */
export type ConfigValue = string | number | readonly (string | number)[];

/** A section: values and sections by name, in the order of the text. */
export interface ConfigSection {
  readonly values: ReadonlyMap<string, ConfigValue>;
  readonly sections: ReadonlyMap<string, ConfigSection>;
}

interface OpenSection {
  readonly values: Map<string, ConfigValue>;
  readonly sections: Map<string, ConfigSection>;
}

const DEPTH_MAX = 8;
const ITEMS_MAX = 1_000_000;
const WORD = /[A-Za-z0-9_.+/-]/;
const MARKS = '={}[],';

/**
 * Parses a whole text.
 *
 * @throws RestoreError `CORRUPT` when it does not follow the grammar, `LIMIT` when it is too deep or
 *   has too many items.
 */
export function parseConfig(text: string): ConfigSection {
  return new Parser(text).parse();
}

type Token =
  | { readonly kind: 'word' | 'text' | 'mark'; readonly value: string }
  | { readonly kind: 'end' };

class Parser {
  readonly #text: string;
  #at = 0;
  #items = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): ConfigSection {
    const root: OpenSection = { values: new Map(), sections: new Map() };
    const open: OpenSection[] = [root];
    for (;;) {
      const section = open.at(-1) as OpenSection;
      const token = this.#next();
      if (token.kind === 'end') {
        if (open.length > 1) throw this.#wrong('}', 'the end');
        return root;
      }
      if (token.kind === 'mark' && token.value === '}' && open.length > 1) {
        open.pop();
        continue;
      }
      if (token.kind === 'mark') throw this.#wrong('a name', token.value);
      const mark = this.#next();
      if (mark.kind !== 'mark') throw this.#wrong('= or {', 'something else');
      if (mark.value === '=') section.values.set(token.value, this.#value());
      else if (mark.value === '{') open.push(this.#begin(section, token.value, open.length));
      else throw this.#wrong('= or {', mark.value);
    }
  }

  #begin(parent: OpenSection, name: string, depth: number): OpenSection {
    if (depth > DEPTH_MAX) throw limit(`${DEPTH_MAX} levels`, `more at ${this.#at}`);
    if (parent.sections.has(name)) throw this.#wrong(`one section ${name}`, 'a second one');
    const section: OpenSection = { values: new Map(), sections: new Map() };
    parent.sections.set(name, section);
    return section;
  }

  #value(): ConfigValue {
    const token = this.#next();
    if (token.kind === 'mark' && token.value === '[') return this.#list();
    return this.#scalar(token);
  }

  #list(): (string | number)[] {
    const list: (string | number)[] = [];
    let token = this.#next();
    while (!(token.kind === 'mark' && token.value === ']')) {
      list.push(this.#scalar(token));
      token = this.#next();
      if (token.kind === 'mark' && token.value === ',') token = this.#next();
      else if (!(token.kind === 'mark' && token.value === ']')) throw this.#wrong(', or ]', 'more');
    }
    return list;
  }

  #scalar(token: Token): string | number {
    if (token.kind === 'text') return token.value;
    if (token.kind !== 'word') throw this.#wrong('a value', 'none');
    if (!/^-?\d+(\.\d+)?$/.test(token.value)) throw this.#wrong('a number', token.value);
    const number = Number(token.value);
    if (!token.value.includes('.') && !Number.isSafeInteger(number)) {
      throw this.#wrong('a number below 2^53', token.value);
    }
    return number;
  }

  #next(): Token {
    this.#items += 1;
    if (this.#items > ITEMS_MAX) throw limit(`${ITEMS_MAX} items`, 'more');
    this.#skip();
    const first = this.#text[this.#at];
    if (first === undefined) return { kind: 'end' };
    if (MARKS.includes(first)) {
      this.#at += 1;
      return { kind: 'mark', value: first };
    }
    return first === '"' ? this.#quoted() : this.#word();
  }

  /** Blanks and comments. By hand: an expression that repeats needs stack for a text of blanks. */
  #skip(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x20 || (code >= 0x09 && code <= 0x0d)) this.#at += 1;
      else if (code === 0x23)
        this.#at = endOr(this.#text.indexOf('\n', this.#at), this.#text.length);
      else return;
    }
  }

  #quoted(): Token {
    const from = this.#at + 1;
    let at = from;
    while (at < this.#text.length && this.#text[at] !== '"') at += this.#text[at] === '\\' ? 2 : 1;
    if (at >= this.#text.length) throw this.#wrong('a text that ends', 'none');
    this.#at = at + 1;
    return { kind: 'text', value: this.#text.slice(from, at).replaceAll(/\\([^])/g, '$1') };
  }

  #word(): Token {
    const from = this.#at;
    while (WORD.test(this.#text[this.#at] ?? '')) this.#at += 1;
    if (this.#at === from) throw this.#wrong('a name, a value or a mark', 'another character');
    return { kind: 'word', value: this.#text.slice(from, this.#at) };
  }

  #wrong(expected: string, found: string): RestoreError {
    return new RestoreError('CORRUPT', 'the text of LVM2 metadata is damaged', {
      where: {
        structure: 'LVM2 metadata text',
        offset: this.#at,
        expected,
        found: found.slice(0, 80),
      },
    });
  }
}

function endOr(found: number, end: number): number {
  return found < 0 ? end : found;
}

function limit(expected: string, found: string): RestoreError {
  return new RestoreError('LIMIT', 'the text of LVM2 metadata is larger than what is read', {
    where: { structure: 'LVM2 metadata text', expected: `at most ${expected}`, found },
  });
}

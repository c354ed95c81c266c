import { LINES } from './branches.ts';
import type { Output } from '../output.ts';

/** Text that waits is kept as bytes beyond this: a million lines are small so, and large as strings. */
const TEXT_CHARACTERS = 16 * 1024;

/** An entry of a directory as it is drawn. */
export interface Drawn {
  readonly name: string;
  readonly label: string;
  /** What is in it may follow. */
  readonly isDirectory: boolean;
}

/** A directory that may be followed by what is in it, and what comes behind that. */
interface Inner {
  readonly name: string;
  readonly line: string;
  readonly after: LateText;
}

/**
 * Draws directories as a walk gives them: each entry as soon as what is above it is known. So of a
 * directory of files nothing is held but the last one, which is drawn another way than the others.
 */
export class Drawing {
  readonly #output: Output;
  readonly #levels: Level[] = [];

  constructor(output: Output) {
    this.#output = output;
  }

  /** Goes into the directory `name` of the level above `depth`; the start, at depth 0, has no name. */
  enter(name: string, depth: number): void {
    while (this.#levels.length > depth) this.#levels.pop()?.finish();
    const isLast = this.#levels.at(-1)?.drawTo(name) ?? true;
    const above = this.#levels.at(-1)?.prefix;
    const prefix = above === undefined ? '' : above + (isLast ? LINES.nothing : LINES.passing);
    this.#levels.push(new Level(this.#output, prefix));
  }

  /** Entries of the directory that was entered last. */
  add(entry: Drawn): void {
    this.#levels.at(-1)?.add(entry);
  }

  end(): void {
    while (this.#levels.length > 0) this.#levels.pop()?.finish();
  }
}

/** One directory on the way from the start to what is drawn now. */
class Level {
  /** What stands in front of its entries. */
  readonly prefix: string;
  readonly #output: Output;
  /** Directories that are not drawn yet, in order. */
  #inner: Inner[] = [];
  #next = 0;
  /** Whether it is the last one is yet to be seen. */
  #newest: Drawn | undefined;

  constructor(output: Output, prefix: string) {
    this.#output = output;
    this.prefix = prefix;
  }

  add(entry: Drawn): void {
    this.#place(LINES.branch);
    this.#newest = entry;
  }

  /**
   * Draws up to and with the directory `name`, once all entries are known.
   *
   * @returns whether it is the last entry.
   */
  drawTo(name: string): boolean {
    this.#place(LINES.last);
    if (this.#next > 0) this.#drawBehind(this.#next - 1);
    while (this.#next < this.#inner.length) {
      const inner = this.#inner[this.#next] as Inner;
      this.#output.write(inner.line);
      this.#next += 1;
      if (inner.name === name) return this.#next === this.#inner.length && inner.after.isEmpty;
      inner.after.writeTo(this.#output);
    }
    return true;
  }

  finish(): void {
    this.#place(LINES.last);
    if (this.#next > 0) this.#drawBehind(this.#next - 1);
    for (; this.#next < this.#inner.length; this.#next += 1) {
      this.#output.write((this.#inner[this.#next] as Inner).line);
      this.#drawBehind(this.#next);
    }
    this.#inner = [];
    this.#next = 0;
  }

  #drawBehind(index: number): void {
    this.#inner[index]?.after.writeTo(this.#output);
  }

  #place(branch: string): void {
    const entry = this.#newest;
    if (entry === undefined) return;
    this.#newest = undefined;
    const line = `${this.prefix}${branch}${entry.label}\n`;
    const before = this.#inner.at(-1);
    if (entry.isDirectory) this.#inner.push({ name: entry.name, line, after: new LateText() });
    else if (before === undefined) this.#output.write(line);
    else before.after.add(line);
  }
}

/** Text for later. */
class LateText {
  #parts: Uint8Array[] | undefined;
  #text = '';

  get isEmpty(): boolean {
    return this.#text === '' && this.#parts === undefined;
  }

  add(line: string): void {
    this.#text += line;
    if (this.#text.length < TEXT_CHARACTERS) return;
    this.#parts ??= [];
    this.#parts.push(Buffer.from(this.#text, 'utf8'));
    this.#text = '';
  }

  /** Once: nothing is left. */
  writeTo(output: Output): void {
    for (const part of this.#parts ?? []) output.writeBytes(part);
    output.write(this.#text);
    this.#parts = undefined;
    this.#text = '';
  }
}

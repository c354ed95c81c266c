import { jsonText } from '../../../core/index.ts';
import type { Output } from '../output.ts';

/**
 * One JSON document with one list in it, written element by element. Nothing is written before the
 * first element or the end, so a request that fails at once has written nothing.
 */
export class JsonList {
  readonly #output: Output;
  readonly #name: string;
  #hasBegun = false;
  #innerCount = 0;

  constructor(output: Output, name: string) {
    this.#output = output;
    this.#name = name;
  }

  add(element: unknown): void {
    this.#output.write(this.#hasBegun ? ',\n' : `{"${this.#name}":[`);
    this.#hasBegun = true;
    this.#output.write(jsonText(element));
  }

  /**
   * Begins an element that has a list of its own, too long to be held: {@link addInner} fills it.
   *
   * @param head what stands before that list.
   */
  begin(head: Readonly<Record<string, unknown>>, innerName: string): void {
    const text = jsonText(head).slice(0, -1);
    this.#output.write(this.#hasBegun ? ',\n' : `{"${this.#name}":[`);
    this.#hasBegun = true;
    this.#output.write(`${text}${text === '{' ? '' : ','}"${innerName}":[`);
    this.#innerCount = 0;
  }

  /** @param elements of the list within the element that was begun. */
  addInner(elements: Iterable<unknown>): void {
    for (const element of elements) {
      this.#output.write(`${this.#innerCount === 0 ? '' : ','}${jsonText(element)}`);
      this.#innerCount += 1;
    }
  }

  /** @param more what stands behind the list of the element that was begun. */
  finish(more: Readonly<Record<string, unknown>> = {}): void {
    this.#output.write(`]${membersOf(more)}}`);
  }

  /** @param more what the document says beside the list. */
  end(more: Readonly<Record<string, unknown>> = {}): void {
    const begin = this.#hasBegun ? '' : `{"${this.#name}":[`;
    this.#output.write(`${begin}]${membersOf(more)}}\n`);
  }
}

function membersOf(more: Readonly<Record<string, unknown>>): string {
  return Object.entries(more)
    .map(([key, value]) => `,"${key}":${jsonText(value)}`)
    .join('');
}

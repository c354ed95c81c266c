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

  constructor(output: Output, name: string) {
    this.#output = output;
    this.#name = name;
  }

  add(element: unknown): void {
    this.#output.write(this.#hasBegun ? ',\n' : `{"${this.#name}":[`);
    this.#hasBegun = true;
    this.#output.write(jsonText(element));
  }

  /** @param more what the document says beside the list. */
  end(more: Readonly<Record<string, unknown>> = {}): void {
    const rest = Object.entries(more).map(([key, value]) => `,"${key}":${jsonText(value)}`);
    const begin = this.#hasBegun ? '' : `{"${this.#name}":[`;
    this.#output.write(`${begin}]${rest.join('')}}\n`);
  }
}

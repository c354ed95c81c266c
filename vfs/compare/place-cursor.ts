import type { ContentPlace } from '../../core/index.ts';

/** Goes through the places of a content in order, holes among them. */
export class PlaceCursor {
  readonly #places: AsyncIterator<ContentPlace>;
  #next: ContentPlace | undefined;
  #isAtEnd = false;

  constructor(places: AsyncIterable<ContentPlace>) {
    this.#places = places[Symbol.asyncIterator]();
  }

  /** Where the byte at `offset` lies, and up to where that goes on; no place for a hole. */
  async at(
    offset: number,
    size: number,
  ): Promise<{ readonly place: number | undefined; readonly end: number }> {
    while (!this.#isAtEnd && (this.#next === undefined || endOf(this.#next) <= offset)) {
      const { done, value } = await this.#places.next();
      if (done === true) this.#isAtEnd = true;
      this.#next = done === true ? undefined : value;
    }
    const next = this.#next;
    if (next === undefined) return { place: undefined, end: size };
    if (next.offset > offset) return { place: undefined, end: Math.min(size, next.offset) };
    return { place: next.at + offset - next.offset, end: Math.min(size, endOf(next)) };
  }
}

function endOf({ offset, length }: ContentPlace): number {
  return offset + length;
}

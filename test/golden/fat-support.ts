/** Image files opened for a test, to be closed together. */
import type { FileSystem, SparseSource } from '../../core/index.ts';
import { openFileSystem } from '../../parsers/index.ts';
import { nodeFiles } from './image-support.ts';

export class ImageFiles {
  readonly #sources: SparseSource[] = [];

  async source(file: string): Promise<SparseSource> {
    const source = await nodeFiles().open(file);
    this.#sources.push(source);
    return source;
  }

  async fileSystem(file: string): Promise<FileSystem> {
    return openFileSystem(await this.source(file));
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }
}

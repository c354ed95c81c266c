import { RestoreError } from '../core/index.ts';
import { openFileSystem, type Volume } from '../parsers/index.ts';
import type { OpenVolume, VolumeHandle } from './place.ts';

/** A volume of a machine that is opened once, when someone enters it. */
export class KeptVolume implements VolumeHandle {
  readonly id: string;
  readonly #volume: Volume;
  readonly #cacheBytes: number;
  #opening: Promise<OpenVolume> | undefined;
  #isEntered = false;
  #opened: OpenVolume | undefined;

  /** @param cacheBytes of metadata that its file system may keep. */
  constructor(volume: Volume, cacheBytes: number) {
    this.id = volume.id;
    this.#volume = volume;
    this.#cacheBytes = cacheBytes;
  }

  /** Its file system, once someone has entered it. */
  get opened(): OpenVolume | undefined {
    return this.#isEntered ? this.#opened : undefined;
  }

  open(): Promise<OpenVolume> {
    this.#isEntered = true;
    return this.openUnnoticed();
  }

  /** For a look that is not the user's: what it meets is told when the user comes here. */
  openUnnoticed(): Promise<OpenVolume> {
    this.#opening ??= this.#start();
    return this.#opening;
  }

  async close(): Promise<void> {
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.fileSystem.close();
  }

  async #start(): Promise<OpenVolume> {
    try {
      const source = this.#volume.open();
      const { kind, isReadable } = this.#volume.content;
      if (!isReadable && kind !== 'unreadable') throw notRead(this.#volume);
      const fileSystem = await openFileSystem(source, { cacheBytes: this.#cacheBytes });
      this.#opened = { id: this.id, fileSystem };
      return this.#opened;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

function notRead({ id, content }: Volume): RestoreError {
  const what = content.type === '' ? content.kind : `${content.type} (${content.kind})`;
  return new RestoreError('UNSUPPORTED', `the volume ${id} holds no file system that is read`, {
    where: { found: what },
    hint: 'Export its disk instead; `rehydrate volumes` shows what else there is.',
  });
}

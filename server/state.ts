import { mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { asRestoreError, isRestoreError, RestoreError } from '../core/index.ts';

const EXPORTS_NAME = 'exports.json';
const OVERLAYS_NAME = 'overlays';

const credentials = z.object({ user: z.string(), secret: z.string() });
const names = z.array(z.string());

/** An export as it outlives a restart of the service. */
const SavedSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{8}$/),
  address: z.string(),
  iqn: z.string(),
  pointId: z.string(),
  disk: z.string(),
  identitySeed: z.string(),
  sizeBytes: z.int().min(0),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().optional(),
  chap: credentials.extend({ mutual: credentials.optional() }),
  allow: z.object({ initiators: names.optional(), addresses: names.optional() }).optional(),
  /** Its overlay's id, when it is writable. */
  overlay: z.string().optional(),
});
export type SavedExport = z.infer<typeof SavedSchema>;

/**
 * What the service keeps about one repository: what is open, with the secrets that initiators hold, and
 * the overlays. A folder that only its owner can read.
 */
export class ServiceState {
  readonly folder: string;
  readonly overlays: string;
  #saving: Promise<void> = Promise.resolve();

  /** @throws RestoreError `DENIED`, `IO` when the folder cannot be made. */
  constructor(root: string, repositoryId: string) {
    this.folder = path.join(root, repositoryId);
    this.overlays = path.join(this.folder, OVERLAYS_NAME);
    try {
      mkdirSync(this.overlays, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw asRestoreError(error, 'cannot make the folder of the service', { object: this.folder });
    }
  }

  overlayFolder(id: string): string {
    if (!/^[0-9a-f]{32}$/.test(id)) {
      throw new RestoreError('INVALID', 'not the id of an overlay', { where: { found: id } });
    }
    return path.join(this.overlays, id);
  }

  /** @throws RestoreError `CORRUPT` rather than forget what was open. */
  load(): SavedExport[] {
    const object = path.join(this.folder, EXPORTS_NAME);
    let text: string;
    try {
      text = readFileSync(object, 'utf8');
    } catch (error) {
      const failure = asRestoreError(error, 'cannot read what was open', { object });
      if (isRestoreError(failure, 'NOT_FOUND')) return [];
      throw failure;
    }
    const parsed = z.array(SavedSchema).safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    throw new RestoreError('CORRUPT', 'the list of what was open cannot be read', {
      where: { object, found: z.prettifyError(parsed.error).slice(0, 200) },
      hint: 'Move the file away to start with nothing open; overlays stay.',
    });
  }

  /** Durable when it resolves; calls follow one another. */
  save(exports: readonly SavedExport[]): Promise<void> {
    const next = this.#saving.then(() => this.#write(JSON.stringify(exports, null, 2)));
    this.#saving = next.catch(() => undefined);
    return next;
  }

  async #write(text: string): Promise<void> {
    const object = path.join(this.folder, EXPORTS_NAME);
    try {
      const file = await open(`${object}.new`, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${object}.new`, object);
      const folder = await open(this.folder, 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    } catch (error) {
      throw asRestoreError(error, 'cannot note what is open', { object });
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

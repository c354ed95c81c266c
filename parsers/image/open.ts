import { type FileOpener, RestoreError, type SparseSource } from '../../core/index.ts';
import { Chain } from './chain.ts';
import { IMAGE_FORMATS, type Layer, type OpenImage, type OpenImageOptions } from './image.ts';

/**
 * Opens a disk image and every file it stands on.
 *
 * The format is found by content; an extension only ever adds doubt. Disks whose first sector a
 * guest could write are opened safely with `format: 'raw'`.
 *
 * @throws RestoreError `NOT_FOUND` (the file, or a parent: names the child, the reference and the
 *   path tried), `INVALID` (no disk), `CORRUPT`, `UNSUPPORTED`, `IO`.
 */
export async function openImage(
  path: string,
  files: FileOpener,
  options: OpenImageOptions = {},
): Promise<OpenImage> {
  if (options.format !== undefined && !IMAGE_FORMATS.includes(options.format)) {
    throw new RestoreError('INVALID', 'there is no such image format', {
      where: { object: path, expected: IMAGE_FORMATS.join(', '), found: String(options.format) },
    });
  }
  const chain = new Chain(files);
  try {
    const layer = await chain.openTop(path, options.format);
    if (layer.source.size === 0) throw emptyDisk(path);
    return {
      source: owning(layer, chain),
      format: layer.format,
      files: chain.paths,
      details: { ...layer.details, chainDepth: chain.depth },
    };
  } catch (error) {
    await chain.close();
    throw error;
  }
}

function emptyDisk(path: string): RestoreError {
  return new RestoreError('INVALID', 'the image holds a disk of no bytes', {
    where: { object: path, expected: 'at least one sector', found: '0 bytes' },
    hint: 'Check that this is the right file and that the copy is complete.',
  });
}

/** The layer's source, whose `close` closes the chain's files. */
function owning({ source }: Layer, chain: Chain): SparseSource {
  return {
    size: source.size,
    sectorSize: source.sectorSize,
    readInto: (target, offset, signal) => source.readInto(target, offset, signal),
    peek: (offset, length) => source.peek(offset, length),
    extents: (offset, length, signal) => source.extents(offset, length, signal),
    close: () => chain.close(),
  };
}

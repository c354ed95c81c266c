import { RestoreError } from '../../core/index.ts';
import { type ImageDriver, SECTOR_BYTES } from './image.ts';

/** A disk as it is, byte for byte. Never probed for: it is what is left when nothing else fits. */
export const rawDriver: ImageDriver = {
  format: 'raw',
  probe: () => false,
  async open(file) {
    if (file.source.size % SECTOR_BYTES !== 0) {
      throw new RestoreError('INVALID', 'the file is not a disk: its size is not whole sectors', {
        where: {
          object: file.path,
          structure: 'raw image',
          expected: `a multiple of ${SECTOR_BYTES} bytes`,
          found: `${file.source.size} bytes`,
        },
        hint: 'Check that the copy is complete and that this is the right file.',
      });
    }
    const details = { virtualSize: file.source.size, sectorSize: file.source.sectorSize };
    return { source: file.source, format: 'raw', details, identities: [] };
  },
};

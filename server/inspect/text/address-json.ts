import { nameForJson, type Place } from '../../../vfs/index.ts';
import type { OpenAddress } from '../session.ts';

/** Where something lies, and how far its volume can be trusted: in every JSON answer. */
export function addressJson({ name }: OpenAddress, place: Place): Record<string, unknown> {
  const { id, fileSystem } = place.volume;
  const { name: path, nameBytes } = nameForJson(place.path);
  return {
    point: name,
    path,
    ...(nameBytes === undefined ? {} : { pathBytes: nameBytes }),
    volume: id,
    fileSystem: fileSystem.type,
    health: fileSystem.health,
  };
}

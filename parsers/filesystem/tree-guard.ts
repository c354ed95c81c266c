import { type NodeId, RestoreError } from '../../core/index.ts';

const DIRECTORIES_MAX = 4_000_000;

/**
 * Keeps a hostile volume's directories a tree, so that no walk of them is without end. A directory's
 * content may belong to one node alone, and a node may lie in one directory alone: with both, every
 * path upwards is determined, and none comes by the same node twice.
 *
 * A place is a number that a directory's content has to itself: its first cluster, its first sector.
 */
export class TreeGuard {
  readonly #ownerOfPlace = new Map<number, NodeId>();
  readonly #placeAround = new Map<NodeId, number>();

  /** @throws RestoreError `CORRUPT` when another directory has its content at `place`. */
  enter(directory: NodeId, place: number): void {
    const owner = this.#ownerOfPlace.get(place);
    if (owner === undefined) this.#add(this.#ownerOfPlace, place, directory);
    else if (owner !== directory) throw shared(`node ${owner} alone`, `node ${directory} too`);
  }

  /** @throws RestoreError `CORRUPT` when `child`, a directory, was found elsewhere than at `place`. */
  found(child: NodeId, place: number): void {
    const known = this.#placeAround.get(child);
    if (known === undefined) this.#add(this.#placeAround, child, place);
    else if (known !== place) throw shared(`node ${child} in one directory`, 'it in two');
  }

  #add(map: Map<number, number>, key: number, value: number): void {
    if (map.size >= DIRECTORIES_MAX) {
      throw new RestoreError('LIMIT', 'the volume has more directories than are kept in mind', {
        where: { expected: `at most ${DIRECTORIES_MAX}` },
      });
    }
    map.set(key, value);
  }
}

function shared(expected: string, found: string): RestoreError {
  return new RestoreError(
    'CORRUPT',
    'two directories share their content, or one contains itself',
    {
      where: { structure: 'directory tree', expected, found },
      hint: 'Look for the files under the other directory.',
    },
  );
}

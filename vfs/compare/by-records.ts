import {
  type HealthState,
  isRestoreError,
  type Ranges,
  type RecordName,
  type RestoreError,
} from '../../core/index.ts';
import { aspectsOf } from './aspects.ts';
import {
  findLinks,
  type Links,
  listTouched,
  misplacedDirectories,
  movedNumbers,
  type Pair,
  placedLinks,
  replacedDirectories,
} from './links.ts';
import {
  type Aspect,
  type FileChange,
  isSameFile,
  type ProblemSink,
  type SideFile,
} from './model.ts';
import type { RecordSide } from './record-side.ts';
import { touchedRecords } from './touched.ts';

export interface RecordComparison {
  readonly before: RecordSide;
  readonly after: RecordSide;
  /** Stretches of the volume, as it lies there, that differ. */
  readonly changed: Ranges;
  readonly onProblem: ProblemSink;
  readonly signal?: AbortSignal;
}

/** A name that is on one side alone. */
interface LoneName {
  readonly path: string;
  readonly file: SideFile;
  readonly isLink: boolean;
}

/**
 * Compares two states of a volume by what changed on it. Paths are from the volume's root.
 *
 * Records that differ lead to files, and stretches that no differing record explains lead to their
 * owners; so a file whose bytes changed while its record did not is found, too.
 */
export async function compareByRecords(comparison: RecordComparison): Promise<FileChange[]> {
  return await new Comparing(comparison).run();
}

class Comparing {
  readonly #comparison: RecordComparison;
  /** What differs as the file systems read it: after their journals. */
  readonly #changed: Ranges;
  readonly #changes: FileChange[] = [];
  readonly #removed: LoneName[] = [];
  readonly #added: LoneName[] = [];
  /** What a renamed file came down on. */
  readonly #overwritten = new Set<string>();
  #replaced: ReadonlySet<number> = new Set();

  constructor(comparison: RecordComparison) {
    const { before, after, changed } = comparison;
    this.#comparison = comparison;
    this.#changed = changed.and(before.records.replayed).and(after.records.replayed);
  }

  async run(): Promise<FileChange[]> {
    const { before, after, onProblem, signal } = this.#comparison;
    const touched = await touchedRecords({
      ...{ before: before.records, after: after.records, changed: this.#changed },
      isSound: SOUND.has(after.fileSystem.health.state),
      onProblem: (error) => onProblem(error, '/'),
      ...(signal === undefined ? {} : { signal }),
    });
    const pairs = new Map<number, Pair>();
    await this.#addPairs(pairs, touched);
    const tell = (error: RestoreError, number: number): void => onProblem(error, `#${number}`);
    const listings = await listTouched(before, after, pairs, tell, signal);
    this.#replaced = replacedDirectories(pairs);
    await this.#addPairs(pairs, movedNumbers(listings, this.#replaced));
    const links = await findLinks(before, after, pairs, listings, signal);
    for (const [error, number] of misplacedDirectories(pairs, links)) tell(error, number);
    const placed = await this.#locate(links);
    for (const [number, pair] of pairs) {
      const names = { before: placed.before.get(number), after: placed.after.get(number) };
      if (pair.before !== undefined && pair.after !== undefined && isSame(pair)) {
        await this.#same(pair.before, pair.after, names);
      } else {
        this.#lone(this.#removed, before, pair.before, names.before, false);
        this.#lone(this.#added, after, pair.after, names.after, false);
      }
    }
    await this.#match();
    return this.#changes;
  }

  async #addPairs(pairs: Map<number, Pair>, numbers: ReadonlySet<number>): Promise<void> {
    const { before, after, onProblem, signal } = this.#comparison;
    for (const number of [...numbers].sort((a, b) => a - b)) {
      if (pairs.has(number)) continue;
      const one = await before.file(number, signal);
      const other = await after.file(number, signal);
      for (const file of [one, other]) if (isRestoreError(file)) onProblem(file, `#${number}`);
      if (isRestoreError(one) || isRestoreError(other)) continue;
      if (one !== undefined || other !== undefined)
        pairs.set(number, { before: one, after: other });
    }
  }

  async #locate(links: Links): Promise<Links> {
    const { before, after, onProblem, signal } = this.#comparison;
    for (const [side, names] of [
      [before, links.before],
      [after, links.after],
    ] as const) {
      const parents = new Set<number>();
      for (const own of names.values()) for (const { parent } of own.values()) parents.add(parent);
      const tell = (error: RestoreError, number: number): void => onProblem(error, `#${number}`);
      await side.locate(parents, tell, signal);
    }
    return placedLinks(before, after, links);
  }

  /** A file that is there on both sides: names kept, changed, taken, given. */
  async #same(
    one: SideFile,
    other: SideFile,
    names: {
      readonly before: ReadonlyMap<string, RecordName> | undefined;
      readonly after: ReadonlyMap<string, RecordName> | undefined;
    },
  ): Promise<void> {
    const { before, after } = this.#comparison;
    const was = names.before ?? NONE;
    const is = names.after ?? NONE;
    const isKept = ([key, name]: readonly [string, RecordName]): boolean => {
      const old = was.get(key);
      if (old === undefined || !is.has(key)) return false;
      return !this.#replaced.has(name.parent) || before.pathOf(old) === after.pathOf(name);
    };
    const gone = [...was].filter((name) => !isKept(name)).map(([, name]) => before.pathOf(name));
    const come = [...is].filter((name) => !isKept(name)).map(([, name]) => after.pathOf(name));
    const kept = [...is].filter(isKept).map(([, name]) => after.pathOf(name));
    const lost = gone.filter((path) => path !== undefined).sort();
    const won = come.filter((path) => path !== undefined).sort();
    const stay = kept.filter((path) => path !== undefined);
    // The root has no name, and stays.
    if (other.node === after.fileSystem.root) stay.push('/');
    const path = won[0] ?? stay[0];
    if (path === undefined && lost.length === 0) return;
    const aspects = await this.#aspects(one, other, path ?? (lost[0] as string));
    const states = { before: one.attributes, after: other.attributes };
    for (const own of stay) {
      if (aspects.length > 0)
        this.#changes.push({ change: 'changed', path: own, aspects, ...states });
    }
    const renamed = Math.min(lost.length, won.length);
    for (let index = 0; index < renamed; index += 1) {
      const to = won[index] as string;
      this.#overwritten.add(to);
      const from = lost[index] as string;
      this.#changes.push({ change: 'renamed', path: to, from, aspects, ...states });
    }
    for (const own of lost.slice(renamed))
      this.#removed.push({ path: own, file: one, isLink: true });
    for (const own of won.slice(renamed))
      this.#added.push({ path: own, file: other, isLink: true });
  }

  #lone(
    target: LoneName[],
    side: RecordSide,
    file: SideFile | undefined,
    names: ReadonlyMap<string, RecordName> | undefined,
    isLink: boolean,
  ): void {
    if (file === undefined) return;
    for (const name of names?.values() ?? []) {
      const path = side.pathOf(name);
      if (path !== undefined) target.push({ path, file, isLink });
    }
  }

  /** A name that one file lost and another got is one changed name, not two. */
  async #match(): Promise<void> {
    const added = new Map(this.#added.map((name) => [name.path, name]));
    for (const { path, file, isLink } of this.#removed) {
      const successor = added.get(path);
      if (successor !== undefined) {
        added.delete(path);
        const aspects = await this.#aspects(file, successor.file, path);
        const states = { before: file.attributes, after: successor.file.attributes };
        this.#changes.push({ change: 'changed', path, aspects, ...states, isReplaced: true });
      } else if (this.#overwritten.has(path)) this.#noteOverwritten(path);
      else {
        const link = isLink ? { isLink } : {};
        const before = file.attributes;
        this.#changes.push({ change: 'removed', path, aspects: [], before, ...link });
      }
    }
    for (const { path, file, isLink } of added.values()) {
      const link = isLink ? { isLink } : {};
      const after = file.attributes;
      this.#changes.push({ change: 'added', path, aspects: [], after, ...link });
    }
  }

  #noteOverwritten(path: string): void {
    const index = this.#changes.findIndex((one) => one.change === 'renamed' && one.path === path);
    const found = this.#changes[index];
    if (found !== undefined) this.#changes[index] = { ...found, isReplaced: true };
  }

  async #aspects(one: SideFile, other: SideFile, path: string): Promise<Aspect[]> {
    const { onProblem, signal } = this.#comparison;
    return await aspectsOf(one, other, {
      changed: this.#changed,
      contents: true,
      path,
      onProblem,
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

/** States in which the account of free space fits the files. */
const SOUND: ReadonlySet<HealthState> = new Set(['clean', 'journal replayed']);

const NONE: ReadonlyMap<string, RecordName> = new Map();

function isSame({ before, after }: Pair): boolean {
  return (
    before !== undefined && after !== undefined && isSameFile(before.attributes, after.attributes)
  );
}

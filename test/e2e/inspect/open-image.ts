/**
 * Runs in an inspector's place, with an inspector's rights, and does with a disk image all that can be
 * done: opens it whatever its format, finds its volumes, and reads every file in them.
 */
import { isRestoreError } from '../../../core/index.ts';
import { findVolumes, openFileSystem, openImage, type Volume } from '../../../parsers/index.ts';
// oxlint-disable no-restricted-imports -- the doors are for those who start an inspector: what else they
// lead to, such as databases, is none of its business
import { giveUpStartRights } from '../../../server/inspect/rights.ts';
import { localFiles } from '../../../store-writer/file-source.ts';
// oxlint-enable no-restricted-imports
import { readAll } from '../../fixtures/file-systems/read-all.ts';

/**
 * `read`: every file, and nothing amiss. `partial`: some of it, and what is missing is told. `named`: it
 * holds what is recognised and not read. `refused`: nothing, and a reason. `unknown`: nothing is
 * recognised. `crashed`: anything else than that.
 */
export type ImageOutcome = 'read' | 'partial' | 'named' | 'refused' | 'unknown' | 'crashed';

export interface ImageReport {
  readonly outcome: ImageOutcome;
  /** Entries in all directories of all volumes. */
  readonly entries: number;
  /** What was recognised, or why nothing was. */
  readonly what: string;
  readonly tookMs: number;
}

const LIMITS = { contentBytes: 256 * 1024 * 1024, entries: 200_000 };
/** From best to worst: an image is what the best of its volumes is, unless another is damaged. */
const ORDER = ['read', 'partial', 'named', 'refused', 'unknown'] as const;

giveUpStartRights();
process.on('message', (message: { kind: string; number: number; body: { path: string } }) => {
  if (message.kind === 'request') void answer(message.number, message.body.path);
});
process.on('disconnect', () => process.exit(0));

async function answer(number: number, path: string): Promise<void> {
  const startedMs = performance.now();
  const result = await resultOf(path);
  const report: ImageReport = { ...result, tookMs: performance.now() - startedMs };
  process.send?.({ kind: 'remark', remark: { kind: 'warning', message: JSON.stringify(report) } });
  process.send?.({ kind: 'reply', number, ok: true, outcome: { failures: 0 } });
}

type Result = Omit<ImageReport, 'tookMs'>;

async function resultOf(path: string): Promise<Result> {
  try {
    return await openAll(path);
  } catch (error) {
    return { ...failure(error), entries: 0 };
  }
}

function failure(error: unknown): Pick<Result, 'outcome' | 'what'> {
  if (!isRestoreError(error)) return { outcome: 'crashed', what: String((error as Error).stack) };
  return { outcome: 'refused', what: `${error.code}: ${error.message}` };
}

async function openAll(path: string): Promise<Result> {
  const image = await openImage(path, localFiles);
  try {
    const { volumes, disks } = await findVolumes([{ id: 'disk0', source: image.source }]);
    const results: Result[] = [];
    for (const volume of volumes) results.push(await useVolume(volume));
    const isDamaged = disks.some(({ findings }) => findings.length > 0);
    return together(results, isDamaged);
  } finally {
    await image.source.close();
  }
}

function together(results: readonly Result[], isDamaged: boolean): Result {
  const crashed = results.find(({ outcome }) => outcome === 'crashed');
  if (crashed !== undefined) return crashed;
  const outcomes = new Set(results.map(({ outcome }) => outcome));
  const best = ORDER.find((outcome) => outcomes.has(outcome)) ?? 'unknown';
  const isPartial =
    best === 'read' && (isDamaged || outcomes.has('partial') || outcomes.has('refused'));
  return {
    outcome: isPartial ? 'partial' : best,
    entries: results.reduce((sum, { entries }) => sum + entries, 0),
    what: results.map(({ what }) => what).join(', '),
  };
}

async function useVolume(volume: Volume): Promise<Result> {
  const { kind, type, isReadable } = volume.content;
  if (!isReadable && kind !== 'unreadable') {
    const isNothing = kind === 'unknown' || kind === 'empty';
    return { outcome: isNothing ? 'unknown' : 'named', entries: 0, what: `${kind} ${type}`.trim() };
  }
  try {
    const fileSystem = await openFileSystem(volume.open());
    const { entries, errors } = await readAll(fileSystem, LIMITS);
    const { state } = fileSystem.health;
    await fileSystem.close();
    const isWhole = errors.length === 0 && ['clean', 'journal replayed'].includes(state);
    const what = `${fileSystem.type} ${state}, ${errors.length} errors`;
    return { outcome: isWhole ? 'read' : 'partial', entries, what };
  } catch (error) {
    return { ...failure(error), entries: 0 };
  }
}

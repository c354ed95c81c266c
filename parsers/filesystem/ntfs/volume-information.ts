import {
  type HealthLog,
  isRestoreError,
  layout,
  type RestoreError,
  type SparseSource,
} from '../../../core/index.ts';
import { corrupt } from './damage.ts';
import type { FileLoader } from './file-loader.ts';
import type { FileRecord } from './file-record.ts';
import {
  RECORD_NUMBER,
  TYPE,
  VOLUME_IS_DIRTY,
  VolumeInformation as Information,
} from './layout.ts';
import { readLogState } from './log-file.ts';
import { utf16At } from './utf16.ts';

/** What `$Volume` says. */
export interface VolumeInformation {
  readonly label: string;
  readonly isDirty: boolean;
}

/** @throws RestoreError `CORRUPT` when an attribute does not fit. */
export function volumeInformationOf(record: FileRecord): VolumeInformation {
  let label = '';
  let isDirty = false;
  for (const attribute of record.attributes()) {
    if (attribute.type === TYPE.VOLUME_NAME) {
      label = utf16At(attribute.view, attribute.valueAt, attribute.size / 2);
    } else if (attribute.type === TYPE.VOLUME_INFORMATION) {
      const flags = Information.flags(layout.viewOf(attribute.value()));
      isDirty = (flags & VOLUME_IS_DIRTY) !== 0;
    }
  }
  return { label, isDirty };
}

/** Reads `$Volume`; damage there is a finding, and costs the label. */
export async function readVolumeInformation(
  loader: FileLoader,
  health: HealthLog,
): Promise<VolumeInformation> {
  const information = await orNoted(health, async () =>
    volumeInformationOf(await loader.mft.read(RECORD_NUMBER.VOLUME)),
  );
  if (information?.isDirty === true) {
    health.note('stale', {
      message: 'the volume is marked dirty: Windows has a check of it to do',
      where: { structure: '$Volume' },
    });
  }
  return information ?? { label: '', isDirty: false };
}

/** Whether changes wait in `$LogFile`: they are not replayed. */
export async function noteLogState(loader: FileLoader, health: HealthLog): Promise<void> {
  const log = await orNoted(health, async () =>
    readLogState(await openData(loader, RECORD_NUMBER.LOG_FILE)),
  );
  if (log === undefined || log.state === 'clean') return;
  const isDirty = log.state === 'dirty';
  health.note('stale', {
    message: isDirty
      ? `${log.reason}: the last changes may be missing or half done`
      : `${log.reason}: whether the last changes are there cannot be told`,
    where: { structure: '$LogFile' },
  });
}

/** The content of one of the system's own files, `undefined` when it has no such stream. */
export async function openSystemFile(
  loader: FileLoader,
  number: number,
  stream = '',
): Promise<SparseSource | undefined> {
  const file = await loader.load({ number, sequence: 0 });
  const found = file.stream(TYPE.DATA, stream);
  return found === undefined ? undefined : loader.open(found);
}

async function openData(loader: FileLoader, number: number): Promise<SparseSource> {
  const content = await openSystemFile(loader, number);
  if (content !== undefined) return content;
  throw noContent(number);
}

function noContent(number: number): RestoreError {
  return corrupt('a system file has no content', { structure: `file record ${number}` });
}

/** The result, or `undefined` with the damage told. */
export async function orNoted<T>(
  health: HealthLog,
  action: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (!isRestoreError(error, 'CORRUPT') && !isRestoreError(error, 'UNSUPPORTED')) throw error;
    health.damage(error);
    return undefined;
  }
}

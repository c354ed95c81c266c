/**
 * An inspector: the process in which guests' bytes are parsed, without the right to write, to start
 * processes or to load native code. Started by `inspector.ts`, spoken to over IPC.
 */
import { asRestoreError, RestoreError } from '../../core/index.ts';
import { type Credential, NativeRepository } from '../../store-reader/index.ts';
import {
  ALIVE_INTERVAL_MS,
  type FromInspector,
  type InspectRequest,
  type ToInspector,
} from './messages.ts';
import { Output, ReaderGone } from './output.ts';
import { presentable, Remarks } from './remarks.ts';
import { HANDLERS, type InspectHandler } from './requests.ts';
import { giveUpStartRights } from './rights.ts';
import { InspectSession } from './session.ts';

const STANDARD_OUTPUT = 1;
/** Of decoded blocks: enough to read ahead. File systems keep what they need a second time. */
const CACHE_BYTES = 16 * 1024 * 1024;
const PAGE_CACHE_BYTES = 8 * 1024 * 1024;

let opening: Promise<InspectSession> | undefined;
/** One request at a time: their output must not mix. */
let queue: Promise<void> = Promise.resolve();

giveUpStartRights();
setInterval(() => send({ kind: 'alive' }), ALIVE_INTERVAL_MS).unref();
process.on('message', (message: ToInspector) => {
  if (message.kind === 'start') {
    opening = open(message.repository, message.credential);
    // Told by the first request.
    opening.catch(() => undefined);
    return;
  }
  queue = queue.then(() => answer(message));
});
// Whoever asked is gone.
process.on('disconnect', () => process.exit(0));

async function open(
  repository: string,
  credential: Credential | undefined,
): Promise<InspectSession> {
  const options = { cacheBytes: CACHE_BYTES, pageCacheBytes: PAGE_CACHE_BYTES };
  return new InspectSession(
    await NativeRepository.open(repository, {
      ...options,
      ...(credential === undefined ? {} : { credential }),
    }),
  );
}

async function answer({ number, name, body }: InspectRequest): Promise<void> {
  const remarks = new Remarks((remark) => send({ kind: 'remark', remark }));
  const output = new Output(STANDARD_OUTPUT);
  try {
    if (opening === undefined) throw new RestoreError('INVALID', 'no repository has been named');
    const session = await opening;
    const handle = HANDLERS[name] as InspectHandler<unknown>;
    try {
      await handle({ session, output, remarks }, body);
      output.flush();
    } finally {
      session.tellHealth(remarks);
      remarks.finish();
    }
    send({ kind: 'reply', number, ok: true, outcome: remarks.outcome });
  } catch (error) {
    if (error instanceof ReaderGone) {
      send({ kind: 'reply', number, ok: true, outcome: { failures: 0 } });
      return;
    }
    flushQuietly(output);
    const failure = asRestoreError(error, 'the inspector failed');
    send({ kind: 'reply', number, ok: false, error: presentable(failure) });
  }
}

/** What was read before an error is right, and belongs to the reader. */
function flushQuietly(output: Output): void {
  try {
    output.flush();
  } catch {
    // The error that is told already comes first.
  }
}

function send(message: FromInspector): void {
  process.send?.(message);
}

import { z } from 'zod';
import { layout, RestoreError } from '../../../core/index.ts';
import { plainErrorFrom } from '../check-message.ts';
import { type CopyFrame, DATA_HEAD_BYTES, FRAME, FRAME_BYTES_MAX, HEAD_BYTES } from './frames.ts';

const TimestampSchema = z.object({
  seconds: z.int(),
  nanoseconds: z.int().min(0).max(999_999_999),
});
const NumberSchema = z.int().min(0);
const NameSchema = z.string().max(1024);
const PathSchema = z.array(NameSchema).max(1025);

const EntrySchema = z.object({
  /** Names from the target folder down; none for the folder itself. */
  path: PathSchema,
  kind: z.enum([
    'file',
    'directory',
    'symlink',
    'block-device',
    'character-device',
    'fifo',
    'socket',
  ]),
  size: NumberSchema,
  modified: TimestampSchema,
  accessed: TimestampSchema.optional(),
  mode: NumberSchema.max(0o7777).optional(),
  uid: NumberSchema.optional(),
  gid: NumberSchema.optional(),
  device: z.object({ major: NumberSchema, minor: NumberSchema }).optional(),
  /** Of a symbolic link. */
  target: z.string().optional(),
  /** The path of a file that was handed over before and is this one under another name. */
  sameAs: PathSchema.optional(),
  /** Name, and value in base64. */
  xattrs: z.array(z.tuple([z.string(), z.string()])).optional(),
});

const EndSchema = z.object({ error: z.unknown().optional() });

/** A file, directory or link to be made. A `file` without `sameAs` is followed by data and an end. */
export type CopyEntry = z.infer<typeof EntrySchema>;

/**
 * The frames of a stream.
 *
 * @throws RestoreError `CORRUPT` for anything that no inspector in its right mind writes.
 */
export async function* decodeFrames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<CopyFrame> {
  let held: Uint8Array = Buffer.alloc(0);
  let parts: Uint8Array[] = [];
  let missing = 0;
  for await (const chunk of stream) {
    parts.push(chunk);
    missing -= chunk.byteLength;
    if (missing > 0) continue;
    held = held.byteLength === 0 && parts.length === 1 ? chunk : Buffer.concat([held, ...parts]);
    parts = [];
    let at = 0;
    for (;;) {
      const length = frameLength(held, at);
      missing = (length ?? HEAD_BYTES) - (held.byteLength - at);
      if (length === undefined || missing > 0) break;
      yield decode(held.subarray(at + 4, at + length));
      at += length;
    }
    held = held.subarray(at);
  }
  if (held.byteLength + parts.length > 0) throw strange('a whole frame', 'the end of the stream');
}

/** Bytes of the frame at `at`, its length field included. */
function frameLength(held: Uint8Array, at: number): number | undefined {
  if (held.byteLength - at < HEAD_BYTES) return undefined;
  const length = layout.u32le(0)(layout.viewOf(held), at);
  if (length < 1 || length > FRAME_BYTES_MAX) {
    throw strange(`a frame of at most ${FRAME_BYTES_MAX} bytes`, `${length} bytes`);
  }
  return 4 + length;
}

function decode(body: Uint8Array): CopyFrame {
  const payload = body.subarray(1);
  if (body[0] === FRAME.data) return decodeData(payload);
  if (body[0] === FRAME.entry) {
    const parsed = EntrySchema.safeParse(parseJson(payload));
    if (!parsed.success) throw strange('an entry', parsed.error.issues[0]?.message ?? 'other');
    return { kind: 'entry', entry: parsed.data };
  }
  if (body[0] === FRAME.end) {
    const parsed = EndSchema.safeParse(parseJson(payload));
    if (!parsed.success) throw strange('an end', 'something else');
    const { error } = parsed.data;
    const plain = plainErrorFrom(error);
    if (error !== undefined && plain === undefined) throw strange('an error', 'something else');
    return { kind: 'end', error: plain };
  }
  if (body[0] === FRAME.done) return { kind: 'done' };
  throw strange('a known type of frame', `type ${body[0]}`);
}

function decodeData(payload: Uint8Array): CopyFrame {
  const offset = layout.u64le(0)(layout.viewOf(payload));
  return { kind: 'data', offset, bytes: payload.subarray(DATA_HEAD_BYTES) };
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    throw strange('JSON', 'something else');
  }
}

function strange(expected: string, found: string): RestoreError {
  return new RestoreError('CORRUPT', 'the inspector answered with nonsense', {
    where: { structure: 'copy stream', expected, found },
    hint: 'The volume may be hostile. Nothing was written outside the target folder.',
  });
}

import { RestoreError, type SparseSource } from '../../../core/index.ts';
import { showName } from '../../../vfs/index.ts';
import type { ReadRequest } from '../messages.ts';
import type { InspectContext, OpenAddress } from '../session.ts';
import { addressJson } from '../text/address-json.ts';
import { JsonList } from '../text/json-list.ts';
import { eachAddress } from './each-address.ts';
import { piecesOf } from './pieces.ts';

const JSON_BYTES_MAX = 1024 * 1024;

/** `cat`: files' contents, one behind the other. */
export async function read(context: InspectContext, request: ReadRequest): Promise<void> {
  const json = request.json ? new JsonList(context.output, 'files') : undefined;
  await eachAddress(context, request.addresses, true, async (address) => {
    const { place } = address;
    const { fileSystem } = place.volume;
    const { kind } = await fileSystem.stat(place.node);
    if (kind !== 'file' && request.stream === undefined) {
      throw new RestoreError('INVALID', `${showName(place.path)} is no regular file`, {
        where: { found: kind },
        ...(kind === 'directory' ? { hint: 'List it with `rehydrate ls`.' } : {}),
      });
    }
    const content = await fileSystem.open(place.node, request.stream);
    try {
      if (json === undefined) await copy(content, address, context);
      else json.add(await asJson(content, address));
    } finally {
      await content.close();
    }
  });
  json?.end();
}

/** Holes come as zeros. What was read before an error is written before it is told. */
async function copy(
  content: SparseSource,
  { place }: OpenAddress,
  { output }: InspectContext,
): Promise<void> {
  const { size } = content;
  const failed = (cause: RestoreError, at: number): RestoreError =>
    incomplete(cause, showName(place.path), at, size);
  for await (const { bytes } of piecesOf(content, [{ offset: 0, length: size }], { failed })) {
    output.writeBytes(bytes);
  }
}

function incomplete(
  cause: RestoreError,
  object: string,
  offset: number,
  size: number,
): RestoreError {
  return new RestoreError(cause.code, `the file is cut off here: ${cause.message}`, {
    where: { object, offset, expected: `${size} bytes` },
    ...(cause.hint === undefined ? {} : { hint: cause.hint }),
    cause,
  });
}

async function asJson(
  content: SparseSource,
  address: OpenAddress,
): Promise<Record<string, unknown>> {
  if (content.size > JSON_BYTES_MAX) {
    throw new RestoreError('INVALID', 'too much for a JSON document', {
      where: { expected: `at most ${JSON_BYTES_MAX} bytes with --json`, found: content.size },
    });
  }
  const bytes = Buffer.alloc(content.size);
  await content.readInto(bytes, 0);
  const { size } = content;
  return { ...addressJson(address, address.place), size, base64: bytes.toString('base64') };
}

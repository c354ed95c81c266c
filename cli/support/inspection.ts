import { fromPlainError } from '../../core/index.ts';
import {
  Inspector,
  type InspectRemark,
  type InspectRequestName,
  type InspectRequests,
} from '../../server/index.ts';
import { type CredentialOptions, credentialFrom } from './credentials.ts';
import { exitStatus, reportError } from './errors.ts';
import { type OutputOptions, warn } from './output.ts';

/**
 * Has an inspector write the answer to this command's own output. Sets the exit status when something
 * could not be read though the rest was.
 *
 * @throws RestoreError when there is no answer.
 */
export async function inspect<K extends InspectRequestName>(
  repository: string,
  flags: CredentialOptions & OutputOptions,
  name: K,
  body: InspectRequests[K],
): Promise<void> {
  const credential = credentialFrom(flags);
  const inspector = Inspector.start({ repository, credential, output: 'inherit' });
  try {
    const { first } = await inspector.request(name, body, (remark) => tellRemark(remark, flags));
    if (first !== undefined) process.exitCode = exitStatus(fromPlainError(first));
  } finally {
    await inspector.close();
  }
}

/** What an inspector remarks on the way, on standard error. */
function tellRemark(remark: InspectRemark, flags: OutputOptions): void {
  if (remark.kind === 'warning') warn(remark.message);
  else reportError(fromPlainError(remark.error), flags.json === true);
}

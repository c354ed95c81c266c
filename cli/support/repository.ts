import { availableParallelism } from 'node:os';
import { NativeRepository, type OpenOptions } from '../../store-reader/index.ts';
import { type CredentialOptions, credentialFrom } from './credentials.ts';

/** Runs `body` with the repository open, and closes it whatever happens. */
export async function withRepository<T>(
  location: string,
  options: CredentialOptions,
  body: (repository: NativeRepository) => Promise<T>,
  more: Omit<OpenOptions, 'credential'> = {},
): Promise<T> {
  const credential = credentialFrom(options);
  const repository = await NativeRepository.open(location, {
    ...more,
    ...(credential === undefined ? {} : { credential }),
  });
  try {
    return await body(repository);
  } finally {
    await repository.close();
  }
}

/** Decoding threads for commands that read much. */
export function readingThreads(): number {
  return Math.min(4, availableParallelism());
}

import type { InspectRequestName, InspectRequests } from './messages.ts';
import { copy } from './requests/copy.ts';
import { find } from './requests/find.ts';
import { list } from './requests/list.ts';
import { read } from './requests/read.ts';
import { stat } from './requests/stat.ts';
import { tar } from './requests/tar.ts';
import { tree } from './requests/tree.ts';
import { volumes } from './requests/volumes.ts';
import type { InspectContext } from './session.ts';

/**
 * Writes the answer to the context's output.
 *
 * @throws RestoreError when there is none at all; what is missing in part is a remark.
 */
export type InspectHandler<Body> = (context: InspectContext, body: Body) => Promise<void>;

/** Every request that an inspector answers. The one place to add one. */
export const HANDLERS: { readonly [K in InspectRequestName]: InspectHandler<InspectRequests[K]> } =
  {
    copy,
    diff: async (context, body) => await (await import('./requests/diff.ts')).diff(context, body),
    find,
    history: async (context, body) =>
      await (await import('./requests/history.ts')).history(context, body),
    list,
    read,
    stat,
    tar,
    tree,
    volumes,
    // The library that deflates is for this one alone.
    zip: async (context, body) => await (await import('./requests/zip.ts')).zip(context, body),
  };

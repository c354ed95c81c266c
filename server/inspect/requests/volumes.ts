import type { VolumesRequest } from '../messages.ts';
import type { InspectContext } from '../session.ts';
import { JsonList } from '../text/json-list.ts';

/** `volumes`: disks, what is on them, and how far it can be trusted. */
export async function volumes(context: InspectContext, request: VolumesRequest): Promise<void> {
  const list = new JsonList(context.output, 'volumes');
  for (const text of request.addresses) {
    const { machine } = await context.session.point(text);
    for (const { id, type } of machine.volumes) list.add({ id, type });
  }
  list.end();
}

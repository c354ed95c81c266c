/**
 * Lists or reads a raw image as an inspector would: the same parsers, walk and text, under
 * `--permission` like one, and no repository beneath.
 *
 * `node --permission … raw-image.ts list|read IMAGE [PATH]`
 */
// oxlint-disable no-restricted-imports -- an inspector's own parts, without its repository
import { Output } from '../../server/inspect/output.ts';
import { piecesOf } from '../../server/inspect/requests/pieces.ts';
import { giveUpStartRights } from '../../server/inspect/rights.ts';
import { longRows } from '../../server/inspect/text/long-rows.ts';
import { localFiles } from '../../store-writer/file-source.ts';
// oxlint-enable no-restricted-imports
import { Machine, showName, walk } from '../../vfs/index.ts';

const [what, image = '', path = '/'] = process.argv.slice(2);

giveUpStartRights();
const machine = await Machine.open([{ id: 'disk0', source: await localFiles.open(image) }]);
const { tree, place } = await machine.resolve({ disk: 'disk0', volume: 'p1', path }, {});
const output = new Output(1);
if (what === 'list') await list();
else await read();
output.flush();
await machine.close();

async function list(): Promise<void> {
  const noTargets = new Map();
  for await (const step of walk(tree, place, { attributes: true, sorted: true })) {
    if (step.error !== undefined) throw step.error;
    output.write(`${showName(step.directory.path)}:\n`);
    output.write(longRows(step.entries, noTargets, 'modified'));
  }
}

async function read(): Promise<void> {
  const content = await place.volume.fileSystem.open(place.node);
  for await (const { bytes } of piecesOf(content, [{ offset: 0, length: content.size }])) {
    output.writeBytes(bytes);
  }
}

import { readBytes } from '../../../core/index.ts';
import { corrupt, needBetween, needInside } from '../checks.ts';
import type { ChainAccess, ImageFile, Layer } from '../image.ts';
import { windowsReferences } from '../windows-path.ts';
import { idText, type VhdHeader } from './footer.ts';
import { Header, LOCATOR_BYTES, LOCATOR_COUNT, LOCATORS_AT, Locator } from './layout.ts';

const NAME_LIMIT_BYTES = 64 * 1024;

/** Platform codes that hold a path, best first, and how it is written. */
const PLATFORMS = [
  { code: 'W2ru', encoding: 'utf-16le' },
  { code: 'W2ku', encoding: 'utf-16le' },
  { code: 'MacX', encoding: 'utf-8' },
  { code: 'Wi2r', encoding: 'latin1' },
  { code: 'Wi2k', encoding: 'latin1' },
] as const;

/**
 * Opens the parent of a differencing disk and checks that it is the one that the child was made on.
 *
 * @see VHD specification, "Dynamic Disk Header Format", Parent Locator Entries
 * @throws RestoreError `NOT_FOUND`, `CORRUPT`.
 */
export async function openParent(
  file: ImageFile,
  header: VhdHeader,
  chain: ChainAccess,
): Promise<Layer> {
  const [reference, ...alternatives] = windowsReferences(await locatorPaths(file, header));
  if (reference === undefined) {
    throw corrupt(file, 'the differencing disk does not name its parent', {
      structure: 'parent locator entries',
      expected: 'a path',
      found: 'none',
    });
  }
  const parent = await chain.openParent(file, { reference, alternatives, format: 'vhd' });
  const expected = idText(Header.parentUniqueId(header.view));
  if (parent.identities.includes(expected)) return parent;
  throw corrupt(file, 'the parent file is not the one that this disk was made on', {
    structure: 'header field Parent Unique ID',
    expected: `a parent of unique id ${expected}`,
    found: `unique id ${parent.identities.join(', ')}`,
    hint: 'Put the right parent in its place.',
  });
}

async function locatorPaths(file: ImageFile, { view }: VhdHeader): Promise<string[]> {
  const found = new Map<string, string>();
  for (let index = 0; index < LOCATOR_COUNT; index += 1) {
    const at = LOCATORS_AT + index * LOCATOR_BYTES;
    const platform = PLATFORMS.find(({ code }) => code === Locator.platformCode(view, at));
    if (platform === undefined) continue;
    const length = Locator.platformDataLength(view, at);
    const offset = Locator.platformDataOffset(view, at);
    needBetween(file, 'parent locator length', length, 0, NAME_LIMIT_BYTES);
    needInside(file, 'parent locator data', offset, length);
    const data = await readBytes(file.source, offset, length);
    found.set(platform.code, untilNul(new TextDecoder(platform.encoding).decode(data)));
  }
  const paths = PLATFORMS.map(({ code }) => found.get(code)).filter((path) => path !== undefined);
  const name = new TextDecoder('utf-16be').decode(Header.parentUnicodeName(view));
  return [...paths, untilNul(name)].map(fromUrl).filter((path) => path !== '');
}

function untilNul(text: string): string {
  return text.split('\0', 1)[0] as string;
}

/** MacX locators are file URLs. */
function fromUrl(path: string): string {
  if (!path.startsWith('file://')) return path;
  const encoded = path.slice('file://'.length).replace(/^localhost/u, '');
  try {
    return decodeURIComponent(encoded);
  } catch {
    // Not escaped after all.
    return encoded;
  }
}

/**
 * Completes package-lock.json after a dependency was added through a registry mirror that lacks
 * other platforms' optional packages. npm then leaves them out of the lock file, and `npm ci`
 * refuses the file ("Missing: … from lock file"). The entries written here name the package and
 * the platform it is for, so every npm skips it; a package that is there is never touched.
 *
 *   node scripts/complete-lock.ts [FILE]
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface LockEntry {
  readonly version?: string;
  readonly optional?: boolean;
  readonly dev?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface LockFile {
  packages: Record<string, LockEntry>;
}

const OPERATING_SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
] as const;

const PROCESSORS = [
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'wasm32',
  'x64',
] as const;

const path = process.argv[2] ?? 'package-lock.json';
const lock = JSON.parse(readFileSync(path, 'utf8')) as LockFile;
const added = missingEntries(lock);
lock.packages = sorted({ ...lock.packages, ...added });
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${path}: ${Object.keys(added).length} entries added`);

function missingEntries(file: LockFile): Record<string, LockEntry> {
  const missing: Record<string, LockEntry> = {};
  for (const [parentPath, parent] of Object.entries(file.packages)) {
    for (const [name, range] of Object.entries(parent.optionalDependencies ?? {})) {
      if (isLocked(file, parentPath, name)) continue;
      missing[`node_modules/${name}`] = entryFor(name, range, parent);
    }
  }
  return missing;
}

/** Node's look-up: the package's own node_modules, then each folder above it. */
function isLocked(file: LockFile, parentPath: string, name: string): boolean {
  for (let folder = parentPath; ; folder = folder.slice(0, folder.lastIndexOf('/node_modules/'))) {
    if (`${folder}/node_modules/${name}` in file.packages) return true;
    if (!folder.includes('/node_modules/')) return `node_modules/${name}` in file.packages;
  }
}

function entryFor(name: string, range: string, parent: LockEntry): LockEntry {
  const tokens = name.split(/[/-]/);
  const os = OPERATING_SYSTEMS.filter((system) => tokens.includes(system));
  const cpu = PROCESSORS.filter((processor) =>
    tokens.some((token) => isProcessor(token, processor)),
  );
  const libc = tokens.includes('musl') ? ['musl'] : [];
  if (os.length === 0 && cpu.length === 0 && name !== 'fsevents') {
    throw new Error(`${name}: its name does not say which platform it is for; add it by hand`);
  }
  return {
    version: range.replace(/^[~^]/, ''),
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(parent.dev === true ? { dev: true } : {}),
    ...(libc.length > 0 ? { libc } : {}),
    optional: true,
    os: os.length > 0 ? os : ['darwin'],
  };
}

function isProcessor(token: string, processor: string): boolean {
  return token === processor || (token === 'armv7' && processor === 'arm');
}

function sorted(entries: Record<string, LockEntry>): Record<string, LockEntry> {
  const names = Object.keys(entries).sort((left, right) => left.localeCompare(right, 'en'));
  return Object.fromEntries(names.map((name) => [name, entries[name] as LockEntry]));
}

import type { Attributes, FileKind } from '../../../core/index.ts';

const KIND_LETTERS = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  'block-device': 'b',
  'character-device': 'c',
  fifo: 'p',
  socket: 's',
} as const satisfies Record<FileKind, string>;

/** Letters of the attributes as Windows' `attrib` has them; [MS-FSCC] section 2.6. */
const DOS_LETTERS: readonly (readonly [bit: number, letter: string])[] = [
  [0x1, 'R'],
  [0x2, 'H'],
  [0x4, 'S'],
  [0x20, 'A'],
  [0x800, 'C'],
  [0x200, 'P'],
  [0x4000, 'E'],
  [0x1000, 'O'],
  [0x400, 'L'],
];

const modes = new Map<string, string>();

/** `drwxr-xr-x` where there are permissions, else `d--SA-----`-like letters of DOS attributes. */
export function formatMode({ kind, mode, dosAttributes }: Attributes): string {
  const key = `${kind} ${mode ?? ''} ${dosAttributes ?? ''}`;
  const known = modes.get(key);
  if (known !== undefined) return known;
  const rest = mode === undefined ? dosLetters(dosAttributes ?? 0) : permissionLetters(mode);
  const text = KIND_LETTERS[kind] + rest;
  modes.set(key, text);
  return text;
}

export function kindLetter(kind: FileKind | 'unknown'): string {
  return kind === 'unknown' ? '?' : KIND_LETTERS[kind];
}

function permissionLetters(mode: number): string {
  const triple = (shift: number, special: boolean, letter: string): string => {
    const bits = mode >> shift;
    const execute = (bits & 1) === 1;
    const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? 'x' : '-';
    return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${last}`;
  };
  return (
    triple(6, (mode & 0o4000) !== 0, 's') +
    triple(3, (mode & 0o2000) !== 0, 's') +
    triple(0, (mode & 0o1000) !== 0, 't')
  );
}

function dosLetters(attributes: number): string {
  return DOS_LETTERS.map(([bit, letter]) => ((attributes & bit) === 0 ? '-' : letter)).join('');
}

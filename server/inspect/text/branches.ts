import { showText } from '../../../vfs/index.ts';

/** A line of a drawn tree, what is remarked about it, and what hangs on it. */
export interface Branch {
  readonly title: string;
  readonly notes: readonly string[];
  readonly branches: readonly Branch[];
}

/** What stands before an entry that others follow, before the last one, and before what they hold. */
export const LINES = { branch: '├── ', last: '└── ', passing: '│   ', nothing: '    ' } as const;

/** The whole drawing, a newline behind each line. */
export function drawBranches(branches: readonly Branch[], prefix = ''): string {
  return branches
    .map((branch, index) => {
      const isLast = index === branches.length - 1;
      const inner = prefix + (isLast ? LINES.nothing : LINES.passing);
      const notes = branch.notes.map((note) => `${inner}  ! ${note}\n`).join('');
      const line = `${prefix}${isLast ? LINES.last : LINES.branch}${branch.title}\n`;
      return line + notes + drawBranches(branch.branches, inner);
    })
    .join('');
}

/** Words of a title, those that say nothing left out; in one line, whatever a disk says. */
export function titleOf(words: readonly string[]): string {
  return showText(words.filter((word) => word !== '').join('  '));
}

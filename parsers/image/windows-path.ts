/**
 * Windows paths as references that can be tried here: each as it is with slashes, and then its last
 * part alone, as a chain that was copied lies in one folder whatever its paths say.
 */
export function windowsReferences(paths: readonly string[]): string[] {
  const slashed = paths.map((path) => path.replaceAll('\\', '/'));
  const relative = slashed.filter((path) => !isAbsolute(path));
  const names = slashed.map((path) => path.split('/').at(-1) ?? '').filter((name) => name !== '');
  const absolute = slashed.filter((path) => path.startsWith('/') && !path.startsWith('//'));
  return [...new Set([...relative, ...names, ...absolute])];
}

/** `/x`, `//server/share/x`, `C:/x`, `//?/Volume{...}/x` */
function isAbsolute(path: string): boolean {
  return path.startsWith('/') || /^[a-z]:/iu.test(path);
}

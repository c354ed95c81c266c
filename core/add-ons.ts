/**
 * Whether this process may load native add-ons: a process under Node's permission model may not,
 * unless it was told so. Trying costs time and answers the same.
 */
export function addOnsAllowed(): boolean {
  // Absent without --permission, whatever its type says.
  const { permission }: { permission?: NodeJS.ProcessPermission } = process;
  return permission?.has('addon') ?? true;
}

import type { ExportRecord } from '../../server/index.ts';

/** Commands that attach an export, ready to paste, for Linux, Windows and qemu. */
export function pasteCommands({ iqn, portal, lun, chap }: ExportRecord): string[] {
  const at = portal.lastIndexOf(':');
  const host = portal.slice(0, at).replaceAll(/[[\]]/g, '');
  const port = portal.slice(at + 1);
  const user = shellQuote(chap.user);
  const secret = shellQuote(chap.secret);
  const node = `iscsiadm -m node -T ${iqn} -p ${portal}`;
  const set = (name: string, value: string): string =>
    `  ${node} -o update -n node.session.auth.${name} -v ${value}`;
  return [
    'Linux:',
    `  ${node} -o new`,
    set('authmethod', 'CHAP'),
    set('username', user),
    set('password', secret),
    `  ${node} --login`,
    '',
    'Windows (PowerShell, as administrator):',
    `  New-IscsiTargetPortal -TargetPortalAddress ${host} -TargetPortalPortNumber ${port} -AuthenticationType ONEWAYCHAP -ChapUsername ${powerShellQuote(chap.user)} -ChapSecret ${powerShellQuote(chap.secret)}`,
    `  Connect-IscsiTarget -NodeAddress ${iqn} -TargetPortalAddress ${host} -TargetPortalPortNumber ${port} -AuthenticationType ONEWAYCHAP -ChapUsername ${powerShellQuote(chap.user)} -ChapSecret ${powerShellQuote(chap.secret)}`,
    '',
    'qemu:',
    `  qemu-img info --object ${shellQuote(`secret,id=chap,data=${optionValue(chap.secret)}`)} --image-opts ${shellQuote(
      `driver=iscsi,transport=tcp,portal=${portal},target=${iqn},lun=${lun},user=${optionValue(chap.user)},password-secret=chap`,
    )}`,
  ];
}

/**
 * In qemu's options a comma is doubled. The URL form is not used: libiscsi undoes no escapes in it, so
 * that a secret with `@` or `/` could not be written.
 */
function optionValue(text: string): string {
  return text.replaceAll(',', ',,');
}

function shellQuote(text: string): string {
  return /^[\w.@:%/=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function powerShellQuote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

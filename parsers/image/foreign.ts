import type { ImageHead } from './image.ts';

interface Signature {
  readonly name: string;
  readonly at: number;
  readonly bytes: string;
  readonly from?: 'tail';
  readonly hint: string;
}

const CONVERT = 'Convert it first: qemu-img convert -O qcow2 IN OUT.';
const UNPACK = 'Unpack it first.';

/** Containers that hold disks and are not read here. Reading one as a raw disk would be wrong. */
const SIGNATURES: readonly Signature[] = [
  { name: 'QCOW version 1', at: 0, bytes: 'QFI\xfb\0\0\0\x01', hint: CONVERT },
  { name: 'VDI (VirtualBox)', at: 0x40, bytes: '\x7f\x10\xda\xbe', hint: CONVERT },
  { name: 'QED', at: 0, bytes: 'QED\0', hint: CONVERT },
  { name: 'Parallels', at: 0, bytes: 'WithoutFreeSpace', hint: CONVERT },
  { name: 'Parallels', at: 0, bytes: 'WithouFreSpacExt', hint: CONVERT },
  { name: 'Apple disk image (DMG)', at: 0, bytes: 'koly', from: 'tail', hint: CONVERT },
  { name: 'EnCase (EWF)', at: 0, bytes: 'EVF\x09\x0d\x0a\xff\0', hint: 'Export it as raw first.' },
  { name: 'VMware seSparse extent', at: 0, bytes: '\xbe\xba\xfe\xca\0\0\0\0', hint: CONVERT },
  { name: 'gzip', at: 0, bytes: '\x1f\x8b\x08', hint: UNPACK },
  { name: 'xz', at: 0, bytes: '\xfd7zXZ\0', hint: UNPACK },
  { name: 'bzip2', at: 0, bytes: 'BZh', hint: UNPACK },
  { name: 'Zstandard', at: 0, bytes: '\x28\xb5\x2f\xfd', hint: UNPACK },
  { name: '7-Zip', at: 0, bytes: '7z\xbc\xaf\x27\x1c', hint: UNPACK },
  { name: 'zip', at: 0, bytes: 'PK\x03\x04', hint: UNPACK },
];

/** Extensions that promise more than a raw disk. Content decides, but a contradiction is an error. */
const STRUCTURED_EXTENSION = /\.(qcow2?|vmdk|vhdx?|avhdx?|vdi|qed)$/iu;
/** The data file of a monolithicFlat or twoGbMaxExtentFlat VMDK is a raw disk, or a piece of one. */
const RAW_VMDK = /-(flat|f\d{3,})\.vmdk$/iu;

/** The container that the file's signature names, when it is one that is not read here. */
export function foreignFormat({ head, tail }: ImageHead): Signature | undefined {
  return SIGNATURES.find(({ at, bytes, from }) => {
    const text = Buffer.from(from === 'tail' ? tail : head).toString('latin1');
    return text.startsWith(bytes, at);
  });
}

/** The extension, when it promises a structure that the content does not have. */
export function brokenPromise(path: string): string | undefined {
  return RAW_VMDK.test(path) ? undefined : STRUCTURED_EXTENSION.exec(path)?.[1]?.toLowerCase();
}

import type { SectorSize, SparseSource } from '../../core/index.ts';

/** The disk image formats that are read. */
export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

/** What an image tells about itself: subformat, cluster size and the like. */
export type ImageDetails = Readonly<Record<string, string | number | boolean>>;

export interface OpenImageOptions {
  /** Taken at its word instead of probing. `raw` reads a disk whose first sector looks like an image. */
  readonly format?: ImageFormat;
}

/** A disk image, open for reading. */
export interface OpenImage {
  /** The disk as the guest saw it. Closing it closes every file of the chain. */
  readonly source: SparseSource;
  readonly format: ImageFormat;
  /** Every file of the chain in the order opened: the image itself first. */
  readonly files: readonly string[];
  readonly details: ImageDetails;
}

/** One file of a chain, opened by its driver: the disk as seen through it and its parents. */
export interface Layer {
  readonly source: SparseSource;
  readonly format: ImageFormat;
  readonly details: ImageDetails;
  /** How a child names this very state of the file (VHD unique id, VHDX data write GUID, VMDK CID). */
  readonly identities: readonly string[];
}

/** The file that a driver is asked to read. */
export interface ImageFile {
  readonly path: string;
  readonly source: SparseSource;
}

/** How a file names the one that it stands on. */
export interface ParentReference {
  /** As written in the child. */
  readonly reference: string;
  /** Other ways in which the child names the same parent, tried in order. */
  readonly alternatives?: readonly string[];
  /** The parent's format, when the child states or implies it. */
  readonly format?: ImageFormat | undefined;
}

/** The rest of the chain, as a driver sees it. */
export interface ChainAccess {
  /** Bytes of mapping tables that the layer being opened may keep in memory. */
  readonly tableBudgetBytes: number;
  /**
   * Opens the file that `child` stands on.
   *
   * @throws RestoreError `NOT_FOUND` when there is none, `CORRUPT` on a cycle.
   */
  openParent(child: ImageFile, parent: ParentReference): Promise<Layer>;
  /**
   * Opens a file that `from` refers to (its extent or data file), trying the references in turn.
   *
   * @throws RestoreError `NOT_FOUND` naming the child, the reference and the paths tried.
   */
  openNeighbour(from: ImageFile, role: string, references: readonly string[]): Promise<ImageFile>;
}

/** What a probe may look at. Probes never throw: damage is for `open` to report. */
export interface ImageHead {
  /** The file's first bytes, up to {@link HEAD_BYTES}. */
  readonly head: Uint8Array;
  /** The file's last 512 bytes. */
  readonly tail: Uint8Array;
  readonly size: number;
}

/** Enough for every signature, and for the longest of the text descriptors' comment lines. */
export const HEAD_BYTES = 4096;

/** One image format. Registered in `drivers.ts`. */
export interface ImageDriver {
  readonly format: ImageFormat;
  /** True when the file claims to be of this format, sound or not. */
  probe(head: ImageHead): boolean;
  /** @throws RestoreError `CORRUPT`, `UNSUPPORTED`, `NOT_FOUND` (a parent), `IO`. */
  open(file: ImageFile, chain: ChainAccess): Promise<Layer>;
}

export const SECTOR_BYTES: SectorSize = 512;

import type { ContentKind } from '../model.ts';

/** What a volume says it is, by the marks that its kind leaves. */
export interface Signature {
  readonly kind: ContentKind;
  readonly type: string;
  readonly label: string;
  /** As `blkid` prints it; empty when it has none. */
  readonly uuid: string;
}

import type { ZipFile } from 'yazl';

/** What yazl keeps of a member. */
interface Member {
  readonly state: number;
  getCentralDirectoryRecord(): Buffer;
}

/** yazl's `Entry.FILE_DATA_DONE`. */
const DONE = 3;
const RECORDS_JOINED = 1024;

/**
 * The list that yazl keeps of an archive's members, and looks through from its beginning for each one
 * that it adds. Here those that are written leave it: what the end of the archive says of them stays,
 * as bytes. So a million members take neither hours nor a gigabyte.
 */
class Members extends Array<Member> {
  #joined: Buffer[] = [];
  #records: Buffer[] = [];
  #count = 0;

  override push(member: Member): number {
    this.#count += 1;
    while (this[0]?.state === DONE) this.#leave(this.shift() as Member);
    return super.push(member);
  }

  /** Called once, when the end of the archive is written; the length is then the count of all. */
  override forEach(use: (member: Member, index: number, all: Member[]) => void): void {
    const last = Buffer.concat(this.#records);
    [...this.#joined, last].forEach((records, index) =>
      use({ state: DONE, getCentralDirectoryRecord: () => records }, index, this),
    );
    super.forEach(use);
    this.length = this.#count;
  }

  #leave(member: Member): void {
    this.#records.push(member.getCentralDirectoryRecord());
    if (this.#records.length < RECORDS_JOINED) return;
    this.#joined.push(Buffer.concat(this.#records));
    this.#records = [];
  }
}

/** Has the archive hold no more of a member that is written than it needs. To be called at once. */
export function forgetMembers(archive: ZipFile): void {
  (archive as unknown as { entries: Member[] }).entries = new Members();
}

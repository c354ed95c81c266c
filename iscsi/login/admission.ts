/** Who may log in to an export at all, before any credentials are looked at. */
import { BlockList, isIP } from 'node:net';
import { RestoreError } from '../../core/index.ts';

/** Each list that is given must hold the initiator; an empty one lets nobody in. */
export interface AllowList {
  /** Initiator names; case does not matter (RFC 7143 section 4.2.7.2). */
  readonly initiators?: readonly string[];
  /** IP addresses and CIDR ranges, of both kinds: `192.0.2.7`, `10.0.0.0/8`, `fd00::/8`. */
  readonly addresses?: readonly string[];
}

export class Admission {
  readonly #initiators: ReadonlySet<string> | undefined;
  readonly #addresses: BlockList | undefined;

  /** @throws RestoreError `INVALID` for an address or range that is none. */
  constructor({ initiators, addresses }: AllowList) {
    if (initiators !== undefined) {
      this.#initiators = new Set(initiators.map((name) => name.toLowerCase()));
    }
    if (addresses === undefined) return;
    this.#addresses = new BlockList();
    for (const each of addresses) addTo(this.#addresses, each);
  }

  /** Why an initiator is kept out; `undefined` when it is not. */
  refusal(initiatorName: string, address: string): string | undefined {
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (this.#addresses !== undefined && !this.#addresses.check(address, family)) {
      return 'the address is not on the allow-list';
    }
    if (this.#initiators?.has(initiatorName.toLowerCase()) === false) {
      return 'the initiator name is not on the allow-list';
    }
    return undefined;
  }
}

function addTo(list: BlockList, range: string): void {
  const [address = '', prefix] = range.split('/');
  const version = isIP(address);
  const family = version === 6 ? 'ipv6' : 'ipv4';
  const longest = version === 6 ? 128 : 32;
  const bits = prefix === undefined ? longest : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (version === 0 || bits < 0 || bits > longest || range.split('/').length > 2) {
    throw new RestoreError('INVALID', 'an allowed address is malformed', {
      where: {
        structure: 'iSCSI allow-list',
        expected: 'an IP address or a CIDR range',
        found: JSON.stringify(range),
      },
      hint: 'Write it like 192.0.2.7, 10.0.0.0/8 or fd00::/8.',
    });
  }
  list.addSubnet(address, bits, family);
}

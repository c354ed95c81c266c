/** The target as Debian's stock kernel and open-iscsi see it. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cache, faulty } from '../../core/index.ts';
import { guestAvailable, HOST_SEEN_FROM_GUEST, runGuest } from '../fixtures/guest/index.ts';
import { randomDisk, SECRET, startTarget, type TargetFixture, USER } from './iscsi/fixture.ts';

const guest = await guestAvailable();
const reason = guest.available ? undefined : guest.reason;
const DISK = 'iqn.2026-01.test:guest-disk';
const OTHER = 'iqn.2026-01.test:guest-other';
const BAD = 'iqn.2026-01.test:guest-bad';
const MUTUAL = { user: 'gateway', secret: 'target-secret-1' };
const BAD_BLOCK = 8_205;
const GUEST_TIMEOUT_MS = 100_000;
const TIMEOUT_MS = 120_000;

const disk = randomDisk(31);
const other = randomDisk(32);

let fixture: TargetFixture;
let portal: string;

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The port is kept over a restart, and told as the guest must use it. */
async function serve(port: number): Promise<TargetFixture> {
  const started = await startTarget({
    portals: [{ host: '127.0.0.1', port }],
    advertise: [{ host: HOST_SEEN_FROM_GUEST, port: port === 0 ? 3260 : port }],
  });
  const chap = { user: USER, secret: SECRET, mutual: MUTUAL };
  started.add(DISK, cache(disk.source, { budgetBytes: 4 * 1024 * 1024 }), { chap });
  started.add(OTHER, other.source);
  const range = { offset: BAD_BLOCK * 512, length: 512 };
  started.add(BAD, faulty(disk.source, [{ range, code: 'CORRUPT' }]));
  return started;
}

beforeAll(async () => {
  // The first start finds a free port; the second can then advertise it.
  const probe = await serve(0);
  const { port } = probe;
  await probe.target.close();
  fixture = await serve(port);
  portal = `${HOST_SEEN_FROM_GUEST}:${port}`;
});

afterAll(() => fixture.target.close());

beforeEach((context) => context.skip(reason !== undefined, reason));

describe('a Linux kernel', () => {
  test(
    'discovers with CHAP, proves and is proved to, checks digests, reads every byte of two disks',
    async () => {
      const { output, exitCode } = await runGuest({
        timeoutMs: GUEST_TIMEOUT_MS,
        script: `set -e
          echo "anonymous: $(iscsi_discover ${portal} 2>&1)"
          iscsi_discover ${portal} ${USER} ${SECRET}
          for digest in HeaderDigest DataDigest; do
            iscsi_set ${portal} ${DISK} node.conn[0].iscsi.$digest CRC32C
          done
          iscsi_connect ${portal} ${DISK} ${USER} ${SECRET} ${MUTUAL.user} ${MUTUAL.secret}
          iscsi_connect ${portal} ${OTHER} ${USER} ${SECRET}
          wait_disk 2
          for name in sda sdb; do
            echo "$name read-only $(blockdev --getro /dev/$name) bytes $(blockdev --getsize64 /dev/$name)"
            echo "$name wwid $(cat /sys/block/$name/device/wwid)"
            sha256sum /dev/$name
            dd if=/dev/$name of=/dev/null bs=1M iflag=direct 2>/dev/null
          done
          cat /sys/class/iscsi_connection/*/header_digest /sys/class/iscsi_connection/*/data_digest
          dd if=/dev/zero of=/dev/sda bs=4096 count=1 2>&1 || echo "write refused"
          iscsi_logout_all
          dmesg | grep -iE 'error|digest|timed out|abort' || echo "no complaints"`,
      });
      if (exitCode !== 0) throw new Error(output);
      expect(output).not.toMatch(/anonymous: .*iqn/);
      expect(output).toContain(`${portal},1 ${DISK}`);
      const hashes = [...output.matchAll(/^([0-9a-f]{64})  \/dev\/sd/gm)].map(([, hash]) => hash);
      expect(hashes).toHaveLength(2);
      expect(new Set(hashes)).toEqual(new Set([sha256(disk.data), sha256(other.data)]));
      const names = [...output.matchAll(/wwid (naa\.6[0-9a-f]{31})$/gm)].map(([, name]) => name);
      expect(new Set(names).size).toBe(2);
      expect([...output.matchAll(/read-only 1 bytes 8388608/g)]).toHaveLength(2);
      expect(output).toContain('write refused');
      expect(output).toContain('no complaints');
    },
    TIMEOUT_MS,
  );

  test(
    'gets an error for the damaged block alone, and everything around it right',
    async () => {
      const before = disk.data.subarray(0, BAD_BLOCK * 512);
      const after = disk.data.subarray((BAD_BLOCK + 1) * 512);
      const { output } = await runGuest({
        timeoutMs: GUEST_TIMEOUT_MS,
        script: `
          iscsi_connect ${portal} ${BAD} ${USER} ${SECRET}
          wait_disk
          dd if=/dev/sda of=/run/all bs=1M iflag=direct 2>&1 || echo "whole refused"
          dd if=/dev/sda bs=512 iflag=direct count=${BAD_BLOCK} 2>/dev/null | sha256sum
          dd if=/dev/sda bs=512 iflag=direct skip=${BAD_BLOCK} count=1 2>&1 | grep -c 'rror'
          dd if=/dev/sda bs=512 iflag=direct skip=${BAD_BLOCK + 1} 2>/dev/null | sha256sum
          dmesg | grep -i 'medium error'
          iscsi_logout_all`,
      });
      expect(output).toContain('whole refused');
      expect(output).toContain(sha256(before));
      expect(output).toContain(sha256(after));
      expect(output).toMatch(new RegExp(`medium error, dev sda, sector ${BAD_BLOCK} `));
    },
    TIMEOUT_MS,
  );

  test(
    'goes on by itself when the target comes back after a restart',
    async () => {
      const { output, exitCode } = await runGuest({
        timeoutMs: GUEST_TIMEOUT_MS,
        script: `set -e
          iscsi_connect ${portal} ${OTHER} ${USER} ${SECRET}
          wait_disk
          dd if=/dev/sda of=/dev/null bs=1M count=2 iflag=direct 2>/dev/null
          ask_host restart
          dd if=/dev/sda bs=1M iflag=direct 2>/dev/null | sha256sum
          iscsi_logout_all`,
        onRequest: async () => {
          const { port } = fixture;
          await fixture.target.close();
          await new Promise((resolve) => setTimeout(resolve, 1_000));
          fixture = await serve(port);
        },
      });
      if (exitCode !== 0) throw new Error(output);
      expect(output).toContain(sha256(other.data));
    },
    TIMEOUT_MS,
  );
});

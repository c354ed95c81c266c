import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type DiskManifest,
  LINUX_FILES,
  MIB,
  makeLinuxServer,
  manifestFile,
  mutateLinuxServer,
} from '../fixtures/disks/index.ts';
import { guestAvailable, runGuest } from '../fixtures/guest/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { Cli, type Service } from './command/harness.ts';
import { serveToGuests } from './guest/serve.ts';

/** Debian's stock kernel with open-iscsi, in a virtual machine, as the initiator. */
const guest = await guestAvailable();

interface Opened {
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly chap: { readonly user: string; readonly secret: string };
}

describe('a real Linux initiator', () => {
  const scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  const control = scratch.file('control.sock');
  const manifests: DiskManifest[] = [];
  const addresses: string[] = [];
  let service: Service | undefined;

  beforeAll(async () => {
    if (!guest.available) return;
    const disk = { path: scratch.file('disk.raw'), sizeBytes: 256 * MIB, fileCount: 200 };
    manifests.push(await makeLinuxServer({ ...disk, contentBytes: 12 * MIB }));
    await cli.json('init', repository);
    for (const step of [1, 2]) {
      const manifest = manifests.at(-1) as DiskManifest;
      const captured = await cli.json<{ address: string }>(
        ...['capture', repository, manifest.path, '--machine', 'web01'],
        ...['--at', `2026-11-0${step}T00:00:00Z`],
      );
      addresses.push(captured.address);
      const time = new Date(`2026-11-0${step + 1}T00:00:00Z`);
      if (step === 1) manifests.push(await mutateLinuxServer(manifest, step, time));
    }
    service = await serveToGuests(cli, repository, control);
  }, 120_000);

  afterAll(async () => {
    await service?.stop();
    scratch[Symbol.dispose]();
  });

  beforeEach((context) => context.skip(!guest.available, guest.reason));

  const open = (point: number): Promise<Opened> =>
    cli.json('export', `${addresses[point]}`, '--iscsi', '--control', control);

  test('discovers, logs in with CHAP, mounts ext4 on LVM, finds every file as it was', async () => {
    const { iqn, portal, chap } = await open(0);
    const manifest = manifests[0] as DiskManifest;
    const contract = manifestFile(manifest, LINUX_FILES.contract);
    const sums = manifest.files
      .filter(({ volume }) => volume === 'root' || volume === 'srv')
      .map(({ sha256, volume, path }) => `${sha256}  /mnt/${volume}${path}\n`);
    const { output, exitCode } = await runGuest({
      timeoutMs: 120_000,
      script: `set -e
        iscsi_discover ${portal} ${chap.user} ${chap.secret}
        iscsi_login ${portal} ${iqn} ${chap.user} ${chap.secret}
        wait_disk 1
        cat /sys/block/sda/ro
        activate_lvm
        mount_read_only /dev/web01-vg/root /mnt/root
        mount_read_only /dev/web01-vg/srv /mnt/srv
        sha256sum /mnt/root${contract.path}
        cat >/run/sums <<'SUMS'
${sums.join('')}SUMS
        sha256sum -c /run/sums >/run/report || { grep -v 'OK$' /run/report; false; }
        echo "$(grep -c 'OK$' /run/report) files right"
        umount /mnt/root /mnt/srv
        lvm vgchange -an 3>&-
        iscsi_logout_all`,
    });
    expect(output).toContain(`${portal},1 ${iqn}`);
    expect(output).toContain('\n1\n');
    expect(output).toContain(`${contract.sha256}  /mnt/root${contract.path}`);
    expect(output).toContain(`${sums.length} files right`);
    expect(exitCode).toBe(0);
  }, 180_000);

  test('tells two points of one disk apart, and cannot write to either', async () => {
    const [first, second] = [await open(0), await open(1)];
    const { output, exitCode } = await runGuest({
      timeoutMs: 120_000,
      script: `
        iscsi_connect ${first.portal} ${first.iqn} ${first.chap.user} ${first.chap.secret}
        iscsi_connect ${second.portal} ${second.iqn} ${second.chap.user} ${second.chap.secret}
        wait_disk 2
        echo "wwid a $(cat /sys/block/sda/device/wwid)"
        echo "wwid b $(cat /sys/block/sdb/device/wwid)"
        dd if=/dev/zero of=/dev/sda bs=4096 count=1 oflag=direct 2>&1
        echo "dd ended with $?"
        iscsi_logout_all`,
    });
    const [a, b] = ['a', 'b'].map((disk) => new RegExp(`wwid ${disk} (\\S+)`).exec(output)?.[1]);
    expect(a).toMatch(/^naa\.6/);
    expect(b).toMatch(/^naa\.6/);
    expect(a).not.toBe(b);
    expect(output).toContain('dd ended with 1');
    expect(exitCode).toBe(0);
  }, 180_000);

  test('a wrong secret does not get in', async () => {
    const { portal, iqn, chap } = await open(0);
    const { output } = await runGuest({
      timeoutMs: 120_000,
      script: `iscsi_connect ${portal} ${iqn} ${chap.user} wrong-secret-123
        echo "login ended with $?"`,
    });
    // iscsiadm's ISCSI_ERR_LOGIN_AUTH_FAILED.
    expect(output).toContain('login ended with 24');
  }, 180_000);
});

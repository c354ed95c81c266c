import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type DiskManifest,
  LINUX_FILES,
  MIB,
  makeLinuxServer,
  manifestFile,
  mutateLinuxServer,
} from '../fixtures/disks/index.ts';
import { guestAvailable, HOST_SEEN_FROM_GUEST, runGuest } from '../fixtures/guest/index.ts';
import { startTgtd, type TgtdTarget, tgtdUnavailable } from './guest/tgtd.ts';

/**
 * The harness against a target that is not ours: what fails here is the harness's fault, so that
 * a failure elsewhere is the gateway's.
 */
const guest = await guestAvailable();
const reason = guest.available ? tgtdUnavailable() : guest.reason;
const USER = 'harness';
const SECRET = 'correct-horse-1';
const TARGET_USER = 'target';
const TARGET_SECRET = 'battery-staple1';

describe('the guest against tgtd', () => {
  let folder: string;
  let disk: DiskManifest;
  let target: TgtdTarget;
  let portal: string;

  beforeAll(async () => {
    if (reason !== undefined) return;
    folder = await mkdtemp(path.join(tmpdir(), 'rehydrate-harness-'));
    disk = await makeLinuxServer({
      path: path.join(folder, 'disk.raw'),
      sizeBytes: 256 * MIB,
      contentBytes: 12 * MIB,
      fileCount: 200,
    });
    // Two steps on, so that a real kernel judges the changed file systems too.
    disk = await mutateLinuxServer(disk, 1, new Date('2026-11-10T02:00:00Z'));
    disk = await mutateLinuxServer(disk, 2, new Date('2026-11-17T02:00:00Z'));
    target = await startTgtd({
      disk: disk.path,
      user: USER,
      secret: SECRET,
      targetUser: TARGET_USER,
      targetSecret: TARGET_SECRET,
    });
    portal = `${HOST_SEEN_FROM_GUEST}:${target.port}`;
  }, 120_000);

  afterAll(async () => {
    await target?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  beforeEach((context) => context.skip(reason !== undefined, reason));

  test('logs in with CHAP and finds every file of two ext4 on LVM as it was written', async () => {
    const database = manifestFile(disk, LINUX_FILES.database);
    const sums = disk.files.map((file) => `${file.sha256}  /mnt/${file.volume}${file.path}\n`);
    const result = await runGuest({
      timeoutMs: 60_000,
      script: `set -e
        iscsi_discover ${portal} ${USER} ${SECRET}
        iscsi_connect ${portal} ${target.iqn} ${USER} ${SECRET}
        wait_disk 1
        marker disk
        activate_lvm
        mount_read_only /dev/web01-vg/root /mnt/root
        mount_read_only /dev/web01-vg/srv /mnt/srv
        cat /mnt/root${LINUX_FILES.hostname}
        sha256sum /mnt/srv${database.path}
        cat >/run/sums <<'SUMS'
${sums.join('')}SUMS
        sha256sum -c /run/sums >/run/report || { grep -v 'OK$' /run/report; false; }
        echo "$(grep -c 'OK$' /run/report) files right"
        umount /mnt/root /mnt/srv
        lvm vgchange -an 3>&-
        iscsi_logout_all`,
    });
    expect(result.output).toContain(`${database.sha256}  /mnt/srv${database.path}`);
    expect(result.output).toContain(`${disk.files.length} files right`);
    // tgtd advertises the address it sees itself at, which is not the one the guest must use.
    expect(result.output).toContain(`127.0.0.1:${target.port},1 ${target.iqn}`);
    expect(result.output).toContain('\nweb01\n');
    expect(result.exitCode).toBe(0);
    expect(result.markers.get('disk')).toBeGreaterThan(result.bootMs);
  }, 90_000);

  test('is refused with a wrong secret, at discovery and at login', async () => {
    const result = await runGuest({
      timeoutMs: 60_000,
      script: `
          iscsi_discover ${portal} ${USER} wrong-secret-1
          echo "discovery $?"
          iscsi_connect ${portal} ${target.iqn} ${USER} wrong-secret-1
          echo "login $?"
          ls /sys/block`,
    });
    // iscsiadm's 24: ISCSI_ERR_LOGIN_AUTH_FAILED.
    expect(result.output).toMatch(/^discovery 24$/m);
    expect(result.output).toMatch(/^login 24$/m);
    expect(result.output).not.toContain('sda');
  }, 90_000);

  test('logs in at the portal that discovery names, when it is the one that was asked', async () => {
    // A relay in the guest gives it tgtd's own idea of its address.
    const own = `127.0.0.1:${target.port}`;
    const result = await runGuest({
      timeoutMs: 60_000,
      script: `
        nc -ll -p ${target.port} -e nc ${HOST_SEEN_FROM_GUEST} ${target.port} 3>&- &
        sleep 1
        iscsi_login ${portal} ${target.iqn} ${USER} ${SECRET}
        echo "elsewhere $?"
        iscsi_login ${own} ${target.iqn} ${USER} ${SECRET} && wait_disk
        echo "same $?"
        blockdev --getro /dev/sda
        iscsi_logout_all
        kill %1`,
    });
    expect(result.output).toContain(`is not advertised at ${portal}\nelsewhere 1\n`);
    expect(result.output).toContain('/dev/sda\nsame 0\n1\n');
  }, 90_000);

  test('asks the target for its secret too, and refuses a target that does not know it', async () => {
    const connect = `iscsi_connect ${portal} ${target.iqn} ${USER} ${SECRET} ${TARGET_USER}`;
    const result = await runGuest({
      timeoutMs: 60_000,
      script: `
        ${connect} not-the-secret1
        echo "impostor $?"
        ${connect} ${TARGET_SECRET}
        echo "known $?"
        wait_disk && iscsi_logout_all`,
    });
    expect(result.output).toMatch(/^impostor (?!0$)\d+$/m);
    expect(result.output).toMatch(/^known 0$/m);
    expect(result.exitCode).toBe(0);
  }, 90_000);

  test('hands the script exit status back, and a failing script is no harness error', async () => {
    const result = await runGuest({ timeoutMs: 60_000, script: 'printf "no line end"; exit 9' });
    expect(result).toMatchObject({ exitCode: 9, output: 'no line end' });
  }, 90_000);

  test('lets the script ask the host for something', async () => {
    const asked: string[] = [];
    const result = await runGuest({
      timeoutMs: 60_000,
      script: 'ask_host first && echo granted; ask_host second || echo denied',
      onRequest: (name) => {
        asked.push(name);
        if (name === 'second') throw new Error('no');
      },
    });
    expect(asked).toEqual(['first', 'second']);
    expect(result.output).toBe('granted\ndenied\n');
  }, 90_000);

  test('kills a guest that takes too long, and says so', async () => {
    const started = performance.now();
    const late = runGuest({ timeoutMs: 8_000, script: 'echo before; sleep 600' });
    await expect(late).rejects.toThrow(/took longer than 8000 ms[^]*before/);
    expect(performance.now() - started).toBeLessThan(20_000);
  }, 90_000);
});

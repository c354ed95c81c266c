import { readFileSync } from 'node:fs';
import { open as openFile, readFile, rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type DiskManifest,
  extractVolume,
  LINUX_FILES,
  MIB,
  makeLinuxServer,
  manifestFile,
  mutateLinuxServer,
  volumeOf,
} from '../fixtures/disks/index.ts';
import { guestAvailable, runGuest } from '../fixtures/guest/index.ts';
import { Scratch } from '../fixtures/repository.ts';
import { run } from '../fixtures/tools/index.ts';
import { chooseSeed, Cli, type Service, sha256 } from './command/harness.ts';
import { serveToGuests } from './guest/serve.ts';

/** Writable exports in the hands of Debian's stock kernel and open-iscsi. */
const guest = await guestAvailable();
const GUEST_TIMEOUT_MS = 150_000;
const TIMEOUT_MS = 200_000;

interface Opened {
  readonly id: string;
  readonly iqn: string;
  readonly portal: string;
  readonly overlay: string;
  readonly chap: {
    readonly user: string;
    readonly secret: string;
    readonly mutual: { readonly user: string; readonly secret: string };
  };
}

describe('a Linux kernel on a writable export', () => {
  const scratch = new Scratch();
  const cli = new Cli(scratch);
  const repository = scratch.file('repository');
  const control = scratch.file('control.sock');
  const addresses: string[] = [];
  /** What each point must read as, whatever is written to exports of it. */
  const hashes: string[] = [];
  /** The same for the first {@link HEAD_MIB} of it: an emulated processor hashes slowly. */
  const headHashes: string[] = [];
  let manifest: DiskManifest;
  let service: Service | undefined;

  beforeAll(async () => {
    if (!guest.available) return;
    const disk = { path: scratch.file('disk.raw'), sizeBytes: 256 * MIB, fileCount: 120 };
    manifest = await makeLinuxServer({ ...disk, contentBytes: 8 * MIB });
    await cli.json('init', repository);
    await capturePoint(1);
    await mutateLinuxServer(manifest, 1, new Date('2026-11-02T00:00:00Z'));
    await capturePoint(2);
    service = await serveToGuests(cli, repository, control);
  }, 120_000);

  afterAll(async () => {
    await service?.stop();
    scratch[Symbol.dispose]();
  });

  beforeEach((context) => context.skip(!guest.available, guest.reason));

  async function capturePoint(day: number): Promise<void> {
    const bytes = readFileSync(manifest.path);
    hashes.push(sha256(bytes));
    headHashes.push(sha256(bytes.subarray(0, HEAD_MIB * MIB)));
    const at = `2026-11-0${day}T00:00:00Z`;
    const captured = await cli.json<{ address: string }>(
      ...['capture', repository, manifest.path, '--machine', 'web01', '--at', at],
    );
    addresses.push(captured.address);
  }

  const ask = <T>(...args: string[]): Promise<T> => cli.json<T>(...args, '--control', control);
  const open = (point: number): Promise<Opened> =>
    ask('export', `${addresses[point]}`, '--iscsi', '--writable', '--mutual');

  /** The disk of an overlay as a raw file, and one of its volumes as another. */
  async function exportMerged(opened: Opened, volume: string): Promise<[string, string]> {
    const merged = scratch.file(`${opened.overlay}.raw`);
    await ask('overlay', 'export', opened.overlay, merged, '--format', 'raw');
    const image = scratch.file(`${opened.overlay}.${volume}`);
    await extractVolume(merged, volumeOf(manifest, volume), image);
    return [merged, image];
  }

  async function close(opened: Opened): Promise<void> {
    await ask('revoke', opened.id);
  }

  async function expectBackupUnchanged(point: number): Promise<void> {
    const { status, stdout } = await cli.run('read', repository, `${addresses[point]}`);
    expect(status).toBe(0);
    expect(sha256(stdout)).toBe(hashes[point]);
  }

  test(
    'is proved to, and keeps what is written to ext4 on LVM while the backup stays as it was',
    async () => {
      const opened = await open(0);
      const { mutual } = opened.chap;
      const contract = manifestFile(manifest, LINUX_FILES.contract);
      const homePage = manifestFile(manifest, LINUX_FILES.homePage);
      const { output, exitCode } = await runGuest({
        timeoutMs: GUEST_TIMEOUT_MS,
        script: `
          ${connect({ ...opened, chap: { ...opened.chap, mutual: { ...mutual, secret: 'not-the-secret-1' } } })}
          echo "an impostor gets $?"
          set -e
          ${connect(opened)}
          wait_disk
          activate_lvm
          load_module crc32c_generic
          mkdir -p /mnt/root
          mount -t ext4 /dev/web01-vg/root /mnt/root
          mkdir -p /mnt/root/srv/new/folder
          cd /mnt/root/srv/new/folder
          for number in $(seq 1 24); do
            dd if=/dev/urandom of=file-$number bs=1000 count=$((number * 7)) conv=fsync 2>/dev/null
          done
          for number in 3 9 20; do rm file-$number; done
          rm "/mnt/root${contract.path}"
          echo changed >>"/mnt/root${homePage.path}"
          sha256sum file-* | sed 's/^/made /'
          cd /
          umount /mnt/root
          e2fsck -fn /dev/web01-vg/root
          echo "e2fsck ended with $?"
          lvm vgchange -an 3>&-
          iscsi_logout_all
          dmesg | grep -iE 'i/o error|ext4-fs error|timed out|abort' || echo "no complaints"`,
      });
      // iscsiadm's ISCSI_ERR_LOGIN_AUTH_FAILED or ISCSI_ERR_LOGIN: the initiator walked away.
      expect(output).toMatch(/an impostor gets (?!0)/);
      expect(output).toContain('e2fsck ended with 0');
      expect(output).toContain('no complaints');
      expect(exitCode).toBe(0);
      await close(opened);

      const made = [...output.matchAll(/^made ([0-9a-f]{64})  (file-\d+)\r?$/gm)];
      expect(made).toHaveLength(21);
      const [merged, root] = await exportMerged(opened, 'root');
      await run('e2fsck', ['-fn', root]);
      for (const [, hash, name] of made) {
        expect([name, sha256(await contentOf(root, `/srv/new/folder/${name}`))]).toEqual([
          name,
          hash,
        ]);
      }
      const { stdout: names } = await run('debugfs', ['-R', 'ls -p /srv/new/folder', root]);
      expect([...names.matchAll(/\/(file-\d+)\//g)]).toHaveLength(21);
      const { stderr } = await run('debugfs', ['-R', `stat "${contract.path}"`, root]);
      expect(stderr).toContain('File not found');
      expect((await contentOf(root, homePage.path)).toString()).toMatch(/changed\n$/);
      expect(sha256(readFileSync(merged))).not.toBe(hashes[0]);
      await rm(merged);
      await expectBackupUnchanged(0);
    },
    TIMEOUT_MS,
  );

  test(
    'tells two points of one disk apart, and two copies of one point, and writes to one alone',
    async () => {
      const all = [await open(0), await open(1), await open(0)];
      const { output, exitCode } = await runGuest({
        timeoutMs: GUEST_TIMEOUT_MS,
        script: `set -e
          ${all.map(connect).join('\n')}
          wait_disk 3
          for name in sda sdb sdc; do
            device=/sys/block/$name/device
            echo "$name session $(readlink -f $device | sed 's/.*\\(session[0-9]*\\).*/\\1/')"
            echo "$name read-only $(cat /sys/block/$name/ro)"
            echo "$name wwid $(cat $device/wwid)"
            echo "$name serial $(dd if=$device/vpd_pg80 bs=1 skip=4 2>/dev/null)"
            echo "$name before $(dd if=/dev/$name bs=1M count=${HEAD_MIB} 2>/dev/null | sha256sum)"
          done
          dd if=/dev/urandom of=/dev/sda bs=1M count=1 seek=${HEAD_MIB / 2} conv=fsync 2>/dev/null
          for name in sda sdb sdc; do
            blockdev --flushbufs /dev/$name
            echo "$name after $(dd if=/dev/$name bs=1M count=${HEAD_MIB} 2>/dev/null | sha256sum)"
          done
          iscsi_logout_all`,
      });
      expect(exitCode).toBe(0);
      // What udev makes /dev/disk/by-id/wwn-* and scsi-3* from, and scsi-S* from.
      const wwids = [...output.matchAll(/ wwid (naa\.\S+)/g)].map(([, name]) => name);
      const serials = [...output.matchAll(/ serial (\S+)/g)].map(([, serial]) => serial);
      expect([new Set(wwids).size, new Set(serials).size]).toEqual([3, 3]);
      expect([...output.matchAll(/ read-only 0/g)]).toHaveLength(3);
      const before = [...output.matchAll(/ before ([0-9a-f]{64})/g)].map(([, hash]) => hash);
      const after = [...output.matchAll(/ after ([0-9a-f]{64})/g)].map(([, hash]) => hash);
      // Sessions may be probed in any order.
      const expected = [headHashes[0], headHashes[0], headHashes[1]].map(String);
      expect(before.map(String).sort()).toEqual(expected.sort());
      expect(headHashes[0]).not.toBe(headHashes[1]);
      expect(after[0]).not.toBe(before[0]);
      expect(after.slice(1)).toEqual(before.slice(1));
      for (const opened of all) await close(opened);
    },
    TIMEOUT_MS,
  );

  test(
    'loses no acknowledged write when the target process is killed again and again',
    async () => {
      const seed = chooseSeed();
      const opened = await open(1);
      const kills: number[] = [];
      const running = service as Service;
      const sessions = (): number => running.log.split(SESSION_OPENED).length - 1;
      const sessionsBefore = sessions();
      const { output, exitCode } = await runGuest({
        timeoutMs: GUEST_TIMEOUT_MS,
        onRequest: async (): Promise<void> => {
          for (let round = 0; round < KILLS; round++) {
            await expect.poll(sessions, { timeout: 30_000 }).toBe(sessionsBefore + 1 + round);
            await delay(500 + ((seed >>> (round * 7)) % 997));
            kills.push(await killTarget(running.ready.processId));
          }
        },
        script: `
          ${connect(opened)}
          wait_disk
          activate_lvm
          load_module crc32c_generic
          mkdir -p /mnt/root
          mount -t ext4 /dev/web01-vg/root /mnt/root || exit 1
          (ask_host kills; echo $? >/run/killed) &
          number=0
          tail=20
          while [ $tail -gt 0 ] || [ $number -le ${RECORDS_MIN} ]; do
            [ -f /run/killed ] && tail=$((tail - 1))
            number=$((number + 1))
            printf '%-511s\\n' "record $number of ${seed}" >/run/record
            if dd if=/run/record of=/mnt/root/journal bs=512 oflag=append conv=notrunc,fsync 2>/run/why
            then echo "file $number"; else echo "refused file $number $(cat /run/why)"; fi
            if dd if=/run/record of=/dev/web01-vg/swap_1 bs=512 seek=$number conv=notrunc,fsync 2>/run/why
            then echo "raw $number"; else echo "refused raw $number $(cat /run/why)"; fi
          done
          echo "host said $(cat /run/killed)"
          dmesg | grep -c 'detected conn error'
          dmesg | grep -iE 'i/o error|ext4-fs error|Aborting journal' || echo "no complaints"
          umount /mnt/root
          e2fsck -fn /dev/web01-vg/root
          echo "e2fsck ended with $?"
          lvm vgchange -an 3>&-
          iscsi_logout_all`,
      });
      try {
        expect(exitCode).toBe(0);
        expect(new Set(kills).size).toBe(KILLS);
        expect(output).toContain('host said 0');
        expect(output).toContain('no complaints');
        expect(output).not.toContain('refused');
        expect(output).toContain('e2fsck ended with 0');
        const connectionErrors = Number(/^(\d+)\r?$/m.exec(output)?.[1]);
        expect(connectionErrors).toBeGreaterThanOrEqual(KILLS);
        await close(opened);

        const [merged, root] = await exportMerged(opened, 'root');
        await run('e2fsck', ['-fn', root]);
        const expected = (number: number): string =>
          `record ${number} of ${seed}`.padEnd(511) + '\n';
        const inFile = acknowledged(output, 'file');
        expect(inFile.length).toBeGreaterThan(RECORDS_MIN);
        const journal = (await contentOf(root, '/journal')).toString('latin1');
        expect(journal).toBe(inFile.map(expected).join(''));
        const inRaw = acknowledged(output, 'raw');
        expect(inRaw).toEqual(inFile);
        const swap = scratch.file('swap');
        await extractVolume(merged, volumeOf(manifest, 'swap_1'), swap);
        await using file = await openFile(swap);
        for (const number of inRaw) {
          const { buffer } = await file.read(Buffer.alloc(512), 0, 512, number * 512);
          expect(buffer.toString('latin1')).toBe(expected(number));
        }
        await expectBackupUnchanged(1);
      } catch (error) {
        const replay = `replay with REHYDRATE_TEST_SEED=${seed}`;
        throw new Error(`${replay}\n${output}\n${running.log}`, { cause: error });
      }
    },
    TIMEOUT_MS,
  );
});

const HEAD_MIB = 16;
const KILLS = 3;
/** However slow the machine: the guest goes on after the last kill until it has so many. */
const RECORDS_MIN = 30;
const SESSION_OPENED = 'iSCSI session opened';

function connect({ portal, iqn, chap }: Opened): string {
  const { user, secret, mutual } = chap;
  return `iscsi_connect ${portal} ${iqn} ${user} ${secret} ${mutual.user} ${mutual.secret}`;
}

/** The records that the guest was told are safe. */
function acknowledged(output: string, where: 'file' | 'raw'): number[] {
  return [...output.matchAll(new RegExp(`^${where} (\\d+)\\r?$`, 'gm'))].map(([, n]) => Number(n));
}

/** Kills the service's iSCSI process, waiting for one to be there first. */
async function killTarget(serviceProcessId: number): Promise<number> {
  const children = `/proc/${serviceProcessId}/task/${serviceProcessId}/children`;
  for (let tries = 0; tries < 100; tries++) {
    for (const child of (await readFile(children, 'latin1')).split(' ').filter(Boolean)) {
      const command = await readFile(`/proc/${child}/cmdline`, 'latin1').catch(() => '');
      if (!command.includes('iscsi-process')) continue;
      process.kill(Number(child), 'SIGKILL');
      return Number(child);
    }
    await delay(100);
  }
  throw new Error('the service has started no new iSCSI process within ten seconds');
}

/** A file of an ext4 image as e2fsprogs reads it. */
async function contentOf(image: string, path: string): Promise<Buffer> {
  const { stdoutBytes } = await run('debugfs', ['-R', `cat "${path}"`, image]);
  return stdoutBytes;
}

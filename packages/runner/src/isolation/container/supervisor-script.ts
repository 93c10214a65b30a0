import { gatewayHostname } from '../../network/sandbox-network.ts';
import { type BundlePaths, type Hook, hook } from './oci-configuration.ts';
import type { ContainerRuntime } from './runtime.ts';

/** Descriptors that the supervisor gets: 0 configuration, 1 reports, 2 errors, and these. */
export const channelDescriptor = 3;
export const imageDescriptor = 4;
export const toolboxDescriptor = 5;
export const volumeDescriptor = 6;
/** Where the runner says again and again that it is there. */
export const aliveDescriptor = 7;

/** Where the bundle lies in the supervisor's own mount namespace: on a tmpfs over the isolation's folder. */
export function bundlePaths(folder: string): BundlePaths {
  return {
    root: `${folder}/root`,
    toolbox: `${folder}/toolbox`,
    etc: `${folder}/etc`,
    devices: `${folder}/devices`,
    tmp: `${folder}/volume/tmp`,
  };
}

/** Run by the runtime once the process of the sandbox was started. */
export function onStarted(folder: string): Hook {
  return hook('echo started > "$1"', `${folder}/events`);
}

/**
 * Shuts the volume's file system down without writing back what is still in memory: nobody will read it, and to write
 * gigabytes before the unmount would keep the stack waiting. (`EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`, Linux
 * fs/ext4/ext4.h; perl is an essential package of Debian, and the only such one that can do an ioctl.)
 */
const shutDown = 'open V, "<", shift or die $!; $flags = pack "L", 2; ioctl V, 0x8004587d, $flags or die $!';

/** Looks for this long at the folders of the volume; it may hold millions of files. */
const foldersDeadlineSeconds = 3;

/**
 * The command that lists the folders of the volume, in the supervisor's namespaces: their sizes (bytes, or files) and
 * paths as in the sandbox, a line each. A line's end in a name, which could make lines of its own, is shown as `?`.
 */
export function listFolders(folder: string, by: 'bytes' | 'files'): string[] {
  const unit = by === 'files' ? '--inodes' : '--block-size=1';
  const list = `cd "$1" && timeout ${foldersDeadlineSeconds} du -0 --one-file-system --max-depth=3 ${unit} . | tr '\\n\\0' '?\\n' | sort -rn | head -100`;
  return ['sh', '-c', list, 'slipway-folders', `${folder}/volume/upper`];
}

/**
 * Ends every process of the PID namespace but the first, when nothing came on standard input for so many seconds, or its
 * other end was closed. A runner that is stopped rather than killed can end nothing.
 */
const watchRunner =
  'for (;;) { vec($ready = "", 0, 1) = 1; last unless select($ready, undef, undef, $ARGV[0]) && sysread STDIN, $said, 999 } ' +
  'print STDERR "the runner has been silent for $ARGV[0] s\n"; kill KILL => -1';

/** The command that does it, in the supervisor's namespaces. */
export function discardVolume(folder: string): string[] {
  return ['perl', '-e', shutDown, `${folder}/volume`];
}

/**
 * The first process of the sandbox's PID and mount namespaces: makes the root file system and runs the container in
 * it. All that it mounts is known to its own mount namespace alone, so that nothing is left when it ends, however it
 * ends. On standard output it reports, a line each:
 *
 *   `supervisor <process id on the host>`
 *   `started`
 *   `exited <status as a shell has it> <free bytes of the volume> <its free files> <all its files>`, or `failed` and why
 *   on standard error
 *
 * Arguments: 1 folder, 2 size of the volume in GiB, 3 host name, 4 name server, 5 gateway, 6 machine id, 7 seconds of silence of
 * the runner that are its end, 8… directories of the control groups.
 */
export const supervisorScript = (runtime: ContainerRuntime) => `
set -eu
folder=$1 volumeGiB=$2 hostname=$3 nameserver=$4 gateway=$5 machine=$6 silence=$7
shift 7
read -r supervisor _ < /proc/self/stat
echo "supervisor $supervisor"
mount -t proc proc /proc
# crun refuses hosts that have both versions of cgroups; this one needs to see only the one with the limits.
if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi

( exec perl -e '${watchRunner}' "$silence" ) <&${aliveDescriptor} ${aliveDescriptor}<&- ${channelDescriptor}<&- ${imageDescriptor}<&- ${toolboxDescriptor}<&- ${volumeDescriptor}<&- &
exec ${aliveDescriptor}<&-

mount -t tmpfs -o mode=700,size=64m tmpfs "$folder"
cd "$folder"
mkdir root image toolbox volume devices etc
# Made in memory and copied, as mke2fs waits for the disk (fsync), which takes long where others write much.
truncate -s "$volumeGiB"G volume.ext4
mke2fs -q -F -t ext4 -m 0 -O ^has_journal -E lazy_itable_init=1,nodiscard,root_owner=0:0 volume.ext4
cp --sparse=always volume.ext4 /proc/self/fd/${volumeDescriptor}
rm volume.ext4
mount -t erofs -o ro,loop,nodev /proc/self/fd/${imageDescriptor} image
mount -t erofs -o ro,loop,nodev,nosuid /proc/self/fd/${toolboxDescriptor} toolbox
mount -t ext4 -o loop,nodev,noatime,nobarrier /proc/self/fd/${volumeDescriptor} volume
exec ${imageDescriptor}<&- ${toolboxDescriptor}<&- ${volumeDescriptor}<&-
mkdir volume/upper volume/work volume/tmp
chmod 1777 volume/tmp
chmod --reference=image volume/upper
mount -t overlay -o "lowerdir=image,upperdir=volume/upper,workdir=volume/work,volatile,nodev" overlay root
mount -t tmpfs -o mode=755,size=64k tmpfs devices
mount --make-shared devices

echo "$hostname" > etc/hostname
printf '127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 %s\\n%s ${gatewayHostname}\\n' "$hostname" "$gateway" > etc/hosts
echo "nameserver $nameserver" > etc/resolv.conf
echo "$machine" > etc/machine-id
cat > config.json

# Open for reading and writing, so that neither side waits for the other.
mkfifo events
exec 7<> events
( read -r event <&7; [ "$event" != started ] || echo started ) ${channelDescriptor}<&- &
listener=$!
(
  for cgroup in "$@"; do echo 0 > "$cgroup/cgroup.procs"; done
  exec ${runtime.run('"$folder"').join(' ')} >&2
) < /dev/null 7<&- &
container=$!
exec ${channelDescriptor}<&-
status=0
wait "$container" || status=$?
echo ended >&7
wait "$listener"
if [ -s runtime.log ]; then cat runtime.log >&2; fi
echo "exited $status $(stat -f -c '%a %S %d %c' volume)"
perl -e '${shutDown}' volume 2> /dev/null || true
`;

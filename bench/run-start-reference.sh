#!/bin/sh
# The reference of the benchmark `run-start`: the least that has to happen until a line of Node comes out of a container
# in a fresh virtual machine. The same volume, kernel, initramfs, devices and sizes as Slipway's, none of its code: the
# second cpio archive replaces init by a shell script.
#
#   run-start-reference.sh KERNEL INITRAMFS IMAGE TOOLBOX TSC_KILOHERTZ CPUS MEMORY_MIB VOLUME_GIB [SCRIPT]
#
# Prints the guest's console; the line that counts is "reference: hello". The machine ends with the script that Node runs.
set -eu
kernel=$1 initramfs=$2 image=$3 toolbox=$4 tsc=$5 cpus=$6 memory=$7 volume_gib=$8
script=${9:-"console.log('reference: hello')"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

truncate -s "${volume_gib}G" "$work/volume"
mke2fs -q -F -t ext4 -m 0 -O ^has_journal,^resize_inode -E lazy_itable_init=1,nodiscard "$work/volume"

mkdir -p "$work/root/bin" "$work/root/bundle/rootfs"
cp /bin/busybox "$work/root/bin/busybox"
cat > "$work/root/reference-init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /run /tmp
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
$b mount -t tmpfs run /run
$b mount -t cgroup2 cgroup /sys/fs/cgroup
for module in $($b cat /modules/boot); do $b insmod "/modules/$module"; done
$b mkdir -p /run/image /run/volume /run/toolbox
for disk in vda vdb vdc; do
  case $($b cat /sys/block/$disk/serial) in
    image) $b mount -t erofs -o ro /dev/$disk /run/image ;;
    toolbox) $b mount -t erofs -o ro /dev/$disk /run/toolbox ;;
    volume) $b mount -t ext4 /dev/$disk /run/volume ;;
  esac
done
$b mkdir -p /run/volume/upper /run/volume/work
$b mount -t overlay -o lowerdir=/run/image,upperdir=/run/volume/upper,workdir=/run/volume/work root /bundle/rootfs
$b mkdir -p /bundle/rootfs/slipway
/bin/crun run --no-pivot -b /bundle reference
$b poweroff -f
INIT
chmod +x "$work/root/reference-init"
cat > "$work/root/bundle/config.json" <<CONFIG
{
  "ociVersion": "1.0.0",
  "process": {
    "cwd": "/", "user": { "uid": 0, "gid": 0 }, "env": ["PATH=/usr/bin:/bin"],
    "args": ["/slipway/lib/ld-linux-x86-64.so.2", "--library-path", "/slipway/lib", "/slipway/bin/node",
             "-e", "$script"]
  },
  "root": { "path": "rootfs" },
  "mounts": [
    { "destination": "/proc", "type": "proc", "source": "proc" },
    { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
    { "destination": "/slipway", "type": "bind", "source": "/run/toolbox", "options": ["bind", "ro"] }
  ],
  "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }] }
}
CONFIG
(cd "$work/root" && find . | cpio --quiet -o -H newc) > "$work/reference.cpio"
cat "$initramfs" "$work/reference.cpio" > "$work/initramfs"

disk() { echo "-blockdev driver=file,node-name=$1,filename=$2,locking=off,$3 -device virtio-blk-device,drive=$1,serial=$1"; }
# shellcheck disable=SC2046 # each device is several words
qemu-system-x86_64 -M microvm -accel tcg,thread=multi,tb-size=1024 -cpu max,erms=off \
  -nodefaults -no-user-config -display none -no-reboot -smp "$cpus" -m "$memory" \
  -chardev stdio,id=console,signal=off -serial chardev:console -kernel "$kernel" -initrd "$work/initramfs" \
  -append "console=ttyS0 panic=-1 reboot=t quiet tsc_early_khz=$tsc tsc=reliable cryptomgr.notests rdinit=/reference-init" \
  -device virtio-serial-device $(disk toolbox "$toolbox" read-only=on) \
  $(disk image "$image" read-only=on) $(disk volume "$work/volume" cache.no-flush=on,discard=unmap) \
  -device virtio-scsi-device -device virtio-rng-device -netdev user,id=network,ipv6=off \
  -device virtio-net-device,netdev=network < /dev/null

# Runs a command as a user of a usual Debian host: no root, no sudo, a user's PATH, /dev/net/tun as udev leaves it,
# subordinate ids. All of that in a mount namespace of its own, so that this host stays as it is.
# Arguments: 1 repository, 2 cache of set-up, 3 user id, 4 /dev/net/tun: open, closed or absent, 5 mounts: as they are, or
# those of a service (packaging/systemd/slipway-runner.service), 6… the command.
set -eu
repository=$1 cache=$2 user=$3 tun=$4 mounts=$5
shift 5

mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/slipway /mnt/made /mnt/cache /mnt/home /mnt/etc
mount --bind "$repository" /mnt/slipway
mount --bind "$cache" /mnt/made
# Folders of the user's own, with all that set-up has made. A runner writes beside what it uses; the rest has many files.
for folder in /mnt/made/*/; do
  name=$(basename "$folder")
  case $name in
    acceleration | guest | images | toolbox) cp --recursive --symbolic-link "/mnt/made/$name" /mnt/cache ;;
    *) ln -s "/mnt/made/$name" /mnt/cache ;;
  esac
done
chown -R --no-dereference "$user:$user" /mnt/cache /mnt/home

echo "slipway-user:x:$user:$user::/mnt/home:/bin/sh" | cat /etc/passwd - > /mnt/etc/passwd
echo "slipway-user:2000000:65536" | tee /mnt/etc/subuid > /mnt/etc/subgid
for name in passwd subuid subgid; do mount --bind "/mnt/etc/$name" "/etc/$name"; done

mount -t tmpfs -o mode=0755 tmpfs /dev/net
[ "$tun" = absent ] || mknod /dev/net/tun c 10 200
[ "$tun" != open ] || chmod 0666 /dev/net/tun
[ "$tun" != closed ] || chmod 0600 /dev/net/tun

# ProtectSystem=strict, ProtectHome=yes, PrivateTmp=yes; its home stands for the StateDirectory.
if [ "$mounts" = service ]; then
  for folder in home cache; do mount --bind "/mnt/$folder" "/mnt/$folder"; done
  for folder in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$folder"; done
  for folder in /home /root /run/user; do
    [ ! -d "$folder" ] || mount -t tmpfs -o mode=0000,ro tmpfs "$folder"
  done
  for folder in / /mnt /mnt/slipway /mnt/made; do mount -o remount,bind,ro "$folder"; done
fi

export HOME=/mnt/home SLIPWAY_CACHE_DIR=/mnt/cache PATH=/usr/local/bin:/usr/bin:/bin
cd "$HOME"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --pdeathsig KILL "$@"

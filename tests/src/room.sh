# The view of a throw-away host, made in a mount namespace of its own: nothing here is seen outside of it, and all of it
# ends with the last process in it. $1 is the host's directory; the rest is what to run.
set -eu
dir=$1
shift
mount --bind "$dir/shm" /dev/shm
mount --bind "$dir/bin" /usr/local/sbin
mount --bind "$dir/etc/passwd" /etc/passwd
mount --bind "$dir/etc/shadow" /etc/shadow
[ ! -e "$dir/etc/hosts" ] || mount --bind "$dir/etc/hosts" /etc/hosts
mount --bind "$dir/etc/os-release" "$(readlink -f /etc/os-release)"
# Real programs of the names that the stand-in answers to. It says that they are not there, as long as they are not.
while read -r real; do
  mount --bind "$dir/bin/.stand-in" "$real"
done <"$dir/covered"
mount --bind "$dir/run" /run
exec "$@"

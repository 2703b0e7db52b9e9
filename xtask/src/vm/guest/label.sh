#!/bin/sh
# Runs on the host: gives every file of ROOT the label that its own SELinux policy wants, and makes that policy enforced.
set -e
sed -i 's/^SELINUX=.*/SELINUX=enforcing/' "$1/etc/selinux/config"
# Debian's policy has no type for containers.
cp "${0%/*}/container.cil" "$1/root/"
chroot "$1" semodule -N -i /root/container.cil
# setfiles names what it labels by /proc/self/fd; the mount goes with its namespace.
exec unshare --mount --propagation private sh -c '
	mount -t proc proc "$1/proc"
	exec chroot "$1" setfiles -F -e /proc /etc/selinux/default/contexts/files/file_contexts /' sh "$1"

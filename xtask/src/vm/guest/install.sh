#!/bin/sh
# Runs on the host when the userland is made: puts a user, these scripts and the kernel's modules into ROOT.
#   install.sh ROOT DIRECTORY-OF-THESE-SCRIPTS KERNEL-TREE
set -e
root=$1 here=$2 kernel=$3
mkdir -p "$root/brig" "$root/build" "$root/etc/systemd/system" "$root/var/lib/systemd/linger"
for name in init prepare agent login serve; do install -m 755 "$here/$name.sh" "$root/brig/$name"; done
for name in service target; do install -m 644 "$here/agent.$name" "$root/etc/systemd/system/brig-agent.$name"; done
chroot "$root" useradd --uid 1000 --create-home --shell /bin/sh user
printf 'user:100000:65536\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
# A lingering user has a service manager from boot on, as a logged-in one has.
touch "$root/var/lib/systemd/linger/user"
# What would talk on our console or wake up in the middle of a test.
for unit in getty.target remote-fs.target timers.target systemd-timesyncd.service systemd-update-utmp.service \
	e2scrub_reap.service selinux-autorelabel-mark.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo brig-vm >"$root/etc/hostname"
cp -a "$kernel"/lib/modules "$root/usr/lib/"
for version in "$kernel"/lib/modules/*; do chroot "$root" depmod "${version##*/}"; done

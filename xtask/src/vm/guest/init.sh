#!/bin/sh
# The flavour `plain`: what a small container host without systemd does, and no more.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sys /sys
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755 run /run
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 -o nsdelegate cgroup /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
mkdir -p /run/lock /run/user/1000 /run/user/0
chown 1000:1000 /run/user/1000
chmod 700 /run/user/*
chmod 666 /dev/fuse
hostname brig-vm
ip link set lo up
# Every controller for everybody; init and its kind lie in a cgroup of their own. A user's share is delegated as
# cgroups(7) tells: the directory and these files, none of its limits.
cd /sys/fs/cgroup
mkdir init
echo 1 >init/cgroup.procs
enable() {
	for controller in $(cat "$1/cgroup.controllers"); do echo "+$controller" >"$1/cgroup.subtree_control"; done
}
enable .
mkdir people && enable people
for person in root user; do
	mkdir people/$person && enable people/$person
	mkdir people/$person/shell
done
for directory in people/user people/user/shell; do
	chown 1000:1000 $directory
	for file in cgroup.procs cgroup.subtree_control cgroup.threads; do chown 1000:1000 $directory/$file; done
done
cd /
/brig/prepare
/brig/agent &
# Init's other duty: to reap.
while :; do
	wait
	sleep 1000
done

#!/bin/busybox sh
# The machine's first program: loads the one driver that the kernel lacks, then goes on to the real root file system.
# The kernel hands `init` of its command line over in the environment.
set -e
export PATH=/bin
busybox mount -t devtmpfs dev /dev
busybox insmod /virtio_blk.ko
busybox mount -t ext4 -o noatime /dev/vda /new
busybox mount --move /dev /new/dev
exec busybox switch_root /new "${brig_init:-/sbin/init}"

#!/bin/busybox sh
# The moment before the real root: the disk's driver, and what the kernel package has as modules.
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod "$module" || echo "aarch64: FAILED insmod $module"; done
mount -t ext4 /dev/vda /new
exec switch_root /new /check.sh

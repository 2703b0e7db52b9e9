#!/bin/sh
# Runs on the host: gives every file of ROOT the label that its own SELinux policy wants, and makes that policy enforced.
set -e
sed -i 's/^SELINUX=.*/SELINUX=enforcing/' "$1/etc/selinux/config"
exec chroot "$1" setfiles -F /etc/selinux/default/contexts/files/file_contexts /

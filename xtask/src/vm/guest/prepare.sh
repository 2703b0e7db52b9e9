#!/bin/sh
# What every flavour has before its people log in.
for module in overlay loop tun; do modprobe -q $module; done
# Swap, so that a limit of it can be seen. The host's file has holes: it takes space as it is used.
mkswap /dev/vdc >/dev/null && swapon /dev/vdc
mkdir -p /build

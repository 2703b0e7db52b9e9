# AppArmor's part of the confinement of containers. `brig run` loads it as root where it is not loaded yet;
# what is refused besides `deny` rules is in the kernel's log.
profile @NAME@ flags=(attach_disconnected,mediate_deleted) {
  # Ids, namespaces and mounts say which files there are; below is what nobody in a container writes.
  file,
  unix,
  dbus,

  # How far they reach is the business of the capability sets; the policy itself is nobody's.
  capability,
  deny capability mac_admin,
  deny capability mac_override,

  # No raw sockets and no packets: nothing is sniffed or forged.
  network unix,
  network netlink,
  network inet stream,
  network inet dgram,
  network inet seqpacket,
  network inet6 stream,
  network inet6 dgram,
  network inet6 seqpacket,

  # Anybody whom the kernel lets may end a container; a container signals and traces itself only.
  signal (receive),
  signal (send) peer=@NAME@,
  ptrace (trace, read, tracedby, readby) peer=@NAME@,

  # No rule for mount, umount, remount, pivot_root or a change of the profile: all are refused.
@MORE@
  deny /proc/* w,
  deny /proc/[^1-9]*/** wklx,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,
  # The labels of processes, these profiles among them.
  deny /proc/[1-9]*/attr/** w,
  deny /proc/[1-9]*/task/[1-9]*/attr/** w,

  # Of /sys the control groups alone.
  deny /sys/[^f]*{,/**} wklx,
  deny /sys/f[^s]*{,/**} wklx,
  deny /sys/fs/[^c]*{,/**} wklx,
  deny /sys/fs/c[^g]*{,/**} wklx,
  deny /sys/fs/cg[^r]*{,/**} wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
}

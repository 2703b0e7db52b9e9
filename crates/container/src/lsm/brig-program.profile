# For Ubuntu since 23.10 and kernels like it, where AppArmor takes the capabilities in user namespaces away from
# programs without a profile (`kernel.apparmor_restrict_unprivileged_userns`). It confines nothing: it names the one
# program that may make user namespaces as a plain user. Put it into /etc/apparmor.d/brig and load it with
# `apparmor_parser --replace /etc/apparmor.d/brig`. It takes AppArmor 4.
abi <abi/4.0>,
profile brig @PROGRAM@ flags=(unconfined) {
  userns,
}

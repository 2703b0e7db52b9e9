//! What the defaults refuse, what a person sees of it, and the flag that opens it.

use super::LAB;
use crate::check::{Check, Expect};
use crate::person::Who;

const WITH_IDS: &[Who] = &[Who::Root, Who::Rootless];

pub(super) const CHECKS: &[Check] = &[
    Check::new("ssh login", LAB, SSH_LOGIN)
        .refused("Operation not permitted", &["--cap-add", "SYS_CHROOT"])
        .mends_for(WITH_IDS),
    Check::new("Debian 13: ssh login", "debian:13", SSH_LOGIN)
        .refused("Operation not permitted", &["--cap-add", "SYS_CHROOT"])
        .mends_for(WITH_IDS),
    Check::new("haproxy, Debian's configuration", LAB, HAPROXY)
        .refused("Cannot chroot", &["--cap-add", "SYS_CHROOT"])
        .mends_for(WITH_IDS),
    Check::new("sudo from a user to root", LAB, SUDO)
        .needs_ids()
        .refused("\"no new privileges\" flag is set", &["--security-opt", "no-new-privileges=false"])
        .mends_for(WITH_IDS),
    Check::new("strace", LAB, STRACE)
        .refused("Operation not permitted", &["--security-opt", "seccomp=debug"]),
    Check::new("leak check of gcc -fsanitize=address", LAB, LEAKS)
        .refused("LeakSanitizer has encountered a fatal error", &["--security-opt", "seccomp=debug"]),
    Check::new("ionice -c 3", LAB, "ionice -c 3 true")
        .refused("Operation not permitted", &["--cap-add", "SYS_NICE"]),
    Check::new("i386 program", LAB, I386)
        .refused("Segmentation fault", &["--security-opt", "seccomp=compat32"]),
    Check::new("host's /etc/ssl, read-only", LAB, "ls /ssl >/dev/null")
        .flags(&["--volume", "/etc/ssl:/ssl:ro"])
        .refused("secrets of the host", &["--allow-host-path", "/etc/ssl"]),
];

/// sshd leaves its caller before it listens: the client tries more than once.
const SSH_LOGIN: &str = r#"
mkdir -p -m 700 /run/sshd /root/.ssh && cd /root/.ssh && ssh-keygen -A >/dev/null &&
ssh-keygen -q -N "" -t ed25519 -f id_ed25519 && cp id_ed25519.pub authorized_keys && /usr/sbin/sshd -E /tmp/log || exit
n=0; until test "$(ssh -o StrictHostKeyChecking=no root@127.0.0.1 echo in 2>/tmp/client)" = in; do
    n=$((n + 1)); [ $n -lt 10 ] || { cat /tmp/log /tmp/client; exit 1; }; sleep 0.1
done
"#;

const HAPROXY: &str = r#"
mkdir -p /run/haproxy && echo 'listen lab
    bind 127.0.0.1:80
    http-request return status 200 content-type text/plain string here' >>/etc/haproxy/haproxy.cfg &&
haproxy -D -f /etc/haproxy/haproxy.cfg && sleep 0.5 && pgrep haproxy >/dev/null || exit
answers() { curl -fsS http://127.0.0.1/ | grep -x here; } && retry answers
"#;

const SUDO: &str = r#"
useradd ann && echo 'ann ALL = (ALL) NOPASSWD: ALL' >/etc/sudoers.d/ann && test "$(su ann -c 'sudo id -u')" = 0
"#;

const STRACE: &str = r#"
strace -f -o /tmp/calls sh -c 'ls; true' >/dev/null && grep -q '+++ exited with 0' /tmp/calls
"#;

/// The check at a program's end traces it, and fails a program without leaks where it cannot.
const LEAKS: &str = r#"
echo 'int main(void) { return 0; }' >/tmp/main.c && gcc -fsanitize=address -o /tmp/main /tmp/main.c && /tmp/main
"#;

/// Statically linked: its first system call is already one of i386.
const I386: &str = r#"
cat >/tmp/main.c <<'END'
#include <stdio.h>
int main(void) { return printf("%d\n", (int)sizeof(void *)) < 0; }
END
gcc -m32 -static -o /tmp/main /tmp/main.c && answer=$(/tmp/main) && test "$answer" = 4
"#;

/// A door that is closed: a name that [`KNOCK`] knows, and the flags that open it, for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// First column.
    pub(crate) name: &'static str,
    /// Flags of `brig run`; none where nothing less than dropping the filter would do.
    pub(crate) mend: &'static [&'static str],
    /// Who they help.
    pub(crate) mends_for: &'static [Who],
}

const fn door(name: &'static str, mend: &'static [&'static str], mends_for: &'static [Who]) -> Door {
    Door { name, mend, mends_for }
}

/// What [`KNOCK`] tries, and prints as `<name> <errno>` or `<name> open`.
pub(crate) const DOORS: &[Door] = &[
    door("chroot", &["--cap-add", "SYS_CHROOT"], &Who::ALL),
    door("mknod of a device", &["--userns", "host", "--cap-add", "MKNOD"], &[Who::Root]),
    door("setcap", &["--cap-add", "SETFCAP"], &Who::ALL),
    door("ptrace", &["--security-opt", "seccomp=debug"], &Who::ALL),
    door("raw socket", &["--cap-add", "NET_RAW"], &Who::ALL),
    door("af_packet", &["--cap-add", "NET_RAW"], &Who::ALL),
    door("af_alg", &[], &[]),
    door("af_vsock", &["--security-opt", "seccomp=unconfined"], &Who::ALL),
    door("io_uring", &["--security-opt", "seccomp=unconfined"], &Who::ALL),
    door("keyctl", &["--security-opt", "seccomp=nested"], &Who::ALL),
    door("userns", &["--security-opt", "seccomp=nested"], &Who::ALL),
    door("mount", &["--cap-add", "SYS_ADMIN"], &Who::ALL),
    door("bpf", &["--userns", "host", "--cap-add", "BPF"], &[Who::Root]),
    door("perf_event_open", &["--userns", "host", "--cap-add", "PERFMON"], &[Who::Root]),
    door("tiocsti", &["--security-opt", "seccomp=unconfined"], &Who::ALL),
    door("x32 call", &[], &[]),
];

/// Numbers are of x86_64.
pub(crate) const KNOCK: Check = Check { expect: Expect::Works, ..Check::new("doors", LAB, SCRIPT) };

const SCRIPT: &str = r#"
exec python3 -c '
import ctypes, errno, fcntl, os, socket, stat
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    if libc.syscall(*map(ctypes.c_long, words)) < 0: raise OSError(ctypes.get_errno(), "")
open("/tmp/f", "w").close()
version_2 = bytes.fromhex("0000000200200000000000000000000000000000")
attributes = ctypes.create_string_buffer(bytes([1, 0, 0, 0, 128, 0, 0, 0]) + bytes(120))
for name, attempt in {
    "chroot": lambda: os.chroot("/"),
    "mknod of a device": lambda: os.mknod("/tmp/n", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "setcap": lambda: os.setxattr("/tmp/f", "security.capability", version_2),
    "ptrace": lambda: call(101, 0, 0, 0, 0),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "af_packet": lambda: socket.socket(17, socket.SOCK_RAW),
    "af_alg": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
    "af_vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
    "io_uring": lambda: call(425, 1, 0),
    "keyctl": lambda: call(250, 0, -3, 0),
    "userns": lambda: call(272, 0x10000000),
    "mount": lambda: call(165, 0, 0, 0, 0, 0),
    "bpf": lambda: call(321, 0, 0, 0),
    "perf_event_open": lambda: call(298, ctypes.addressof(attributes), 0, -1, -1, 0),
    "tiocsti": lambda: fcntl.ioctl(0, 0x5412, b"x"),
    "x32 call": lambda: call(0x40000000 | 39),
}.items():
    try: attempt(); print(name, "open")
    except OSError as error: print(name, errno.errorcode[error.errno])'
"#;

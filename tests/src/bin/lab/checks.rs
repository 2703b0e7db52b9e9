//! What is tried, in the order of the table. Every script runs in a container of the `standard` profile.

/// What a check must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// It works for everybody.
    Works,
    /// It works for whoever has more than one id inside: without subordinate ids it is the kernel that refuses.
    WorksWithIds,
    /// What the script names is refused: see [`REFUSED`].
    Refused,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Check {
    /// First column.
    pub(crate) name: &'static str,
    /// Image to run.
    pub(crate) image: &'static str,
    /// Flags of `brig run`.
    pub(crate) flags: &'static [&'static str],
    /// Shell script; empty for the image's own command.
    pub(crate) script: &'static str,
    /// What must come of it.
    pub(crate) expect: Expect,
}

const LAB: &str = "lab";

const fn works(name: &'static str, script: &'static str) -> Check {
    Check { name, image: LAB, flags: &[], script, expect: Expect::Works }
}

const fn with_ids(name: &'static str, script: &'static str) -> Check {
    Check { name, image: LAB, flags: &[], script, expect: Expect::WorksWithIds }
}

const fn image(name: &'static str, image: &'static str, script: &'static str) -> Check {
    Check { name, image, flags: &[], script, expect: Expect::Works }
}

/// The table.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "apt-get update, install",
        image: "debian:12",
        flags: &["--network", "host"],
        script: APT,
        expect: Expect::Works,
    },
    image("busybox root file system", "busybox", "busybox | head -n 1; test $(id -u) = 0"),
    image("dynamic musl root file system", "musl", "exec /bin/probe"),
    image("docker-archive of skopeo", "example.org/lab/docker:1", ""),
    image("oci-archive of skopeo", "example.org/lab/oci:1", ""),
    with_ids("nginx on port 80", "nginx && curl -fsS http://127.0.0.1/ | grep -qi nginx"),
    works("redis, bgsave", REDIS),
    with_ids("postgres: initdb, start, query", POSTGRES),
    works("node: worker, server, client", NODE),
    works("python: threads, multiprocessing", PYTHON),
    works("ping", "ping -c 1 127.0.0.1"),
    with_ids("su", r#"test "$(su nobody -s /bin/sh -c 'id -un')" = nobody"#),
    with_ids("sudo from root", r#"test "$(sudo -u nobody id -un)" = nobody"#),
    works("cron starts", "cron && sleep 0.3 && pgrep -x cron"),
    works("sshd starts, answers", SSHD),
    Check {
        name: "ssh login, --cap-add SYS_CHROOT",
        image: LAB,
        flags: &["--cap-add", "SYS_CHROOT"],
        script: SSH_LOGIN,
        expect: Expect::WorksWithIds,
    },
    Check { name: "refused", image: LAB, flags: &[], script: REFUSE, expect: Expect::Refused },
];

/// What the last script tries, and prints as `<name> <errno>` or `<name> open`.
pub(crate) const REFUSED: &[&str] = &[
    "chroot",
    "mknod",
    "setcap",
    "ptrace",
    "raw socket",
    "af_alg",
    "af_packet",
    "af_vsock",
    "io_uring",
    "keyctl",
    "userns",
    "mount",
    "bpf",
];

/// Where only one id is mapped `apt` cannot become `_apt`, and packages with users of their own cannot be installed.
const APT: &str = r#"
packages="nginx-light redis-server postgresql nodejs python3 iputils-ping sudo procps cron dbus openssh-server"
if [ "$(awk '{ ids += $3 } END { print ids }' /proc/self/uid_map)" = 1 ]; then
    echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/one-id
    packages="less procps curl"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq -y install $packages >/log 2>&1 || { tail -n 20 /log; exit 1; }
dpkg --audit
"#;

const REDIS: &str = r#"
retry() { n=0; until "$@"; do n=$((n + 1)); [ $n -lt 100 ] || return 1; sleep 0.1; done; }
pings() { redis-cli ping 2>/dev/null | grep -q PONG; }
cd /tmp && redis-server --daemonize yes --dir /tmp >/dev/null && retry pings &&
redis-cli set key value && redis-cli bgsave && retry test -s dump.rdb &&
redis-cli info persistence | grep -q rdb_last_bgsave_status:ok
"#;

const POSTGRES: &str = r#"
bin=$(echo /usr/lib/postgresql/*/bin) && install -d -o postgres /tmp/pg || exit
su postgres -c "$bin/initdb -D /tmp/pg/data && $bin/pg_ctl -D /tmp/pg/data -w -l /tmp/pg/log -o '-k /tmp' start &&
    psql -h /tmp -tAc 'select 40 + 2' >/tmp/pg/answer && $bin/pg_ctl -D /tmp/pg/data -m fast stop" &&
grep -x 42 /tmp/pg/answer
"#;

const NODE: &str = r#"
exec node -e '
const { Worker } = require("worker_threads"), http = require("http");
new Worker("0", { eval: true }).on("exit", () => {
    http.createServer((_, answer) => answer.end("ok")).listen(8080, () =>
        http.get("http://127.0.0.1:8080", answer => process.exit(answer.statusCode == 200 ? 0 : 1)));
});'
"#;

const PYTHON: &str = r"
exec python3 -c '
import multiprocessing, threading
seen = []
thread = threading.Thread(target=lambda: seen.append(1)); thread.start(); thread.join()
with multiprocessing.Pool(4) as pool: assert pool.map(abs, range(-8, 0)) == list(range(8, 0, -1))
queue = multiprocessing.Queue(); queue.put(1)
assert queue.get() == 1 and seen == [1]'
";

const SSHD: &str = r"
mkdir -p /run/sshd && ssh-keygen -A >/dev/null && /usr/sbin/sshd || exit
n=0; until bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -n 1 <&3' 2>/dev/null | grep ^SSH; do
    n=$((n + 1)); [ $n -lt 50 ] || exit 1; sleep 0.1
done
";

/// sshd leaves its caller before it listens: the client tries more than once.
const SSH_LOGIN: &str = r#"
mkdir -p -m 700 /run/sshd /root/.ssh && cd /root/.ssh && ssh-keygen -A >/dev/null &&
ssh-keygen -q -N "" -t ed25519 -f id_ed25519 && cp id_ed25519.pub authorized_keys && /usr/sbin/sshd -E /tmp/log || exit
n=0; until test "$(ssh -o StrictHostKeyChecking=no root@127.0.0.1 echo in 2>/tmp/client)" = in; do
    n=$((n + 1)); [ $n -lt 20 ] || { cat /tmp/log /tmp/client; exit 1; }; sleep 0.1
done
"#;

/// Numbers are of x86_64.
const REFUSE: &str = r#"
exec python3 -c '
import ctypes, errno, os, socket, stat
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    if libc.syscall(*map(ctypes.c_long, words)) < 0: raise OSError(ctypes.get_errno(), "")
open("/tmp/f", "w").close()
version_2 = bytes.fromhex("0000000200200000000000000000000000000000")
for name, attempt in {
    "chroot": lambda: os.chroot("/"),
    "mknod": lambda: os.mknod("/tmp/n", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "setcap": lambda: os.setxattr("/tmp/f", "security.capability", version_2),
    "ptrace": lambda: call(101, 0, 0, 0, 0),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "af_alg": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
    "af_packet": lambda: socket.socket(17, socket.SOCK_RAW),
    "af_vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
    "io_uring": lambda: call(425, 1, 0),
    "keyctl": lambda: call(250, 0, -3, 0),
    "userns": lambda: call(272, 0x10000000),
    "mount": lambda: call(165, 0, 0, 0, 0, 0),
    "bpf": lambda: call(321, 0, 0, 0),
}.items():
    try: attempt(); print(name, "open")
    except OSError as error: print(name, errno.errorcode[error.errno])'
"#;

//! Images that other programs made.

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::new("busybox root file system", "busybox", "busybox | head -n 1; test $(id -u) = 0"),
    Check::new("dynamic musl root file system", "musl", "exec /bin/probe"),
    Check::new("docker-archive of skopeo", "example.org/lab/docker:1", ""),
    Check::new("oci-archive of skopeo", "example.org/lab/oci:1", ""),
    Check::new("Debian 13: apt-get, findmnt, df, ps", "debian:13", TOOLS).flags(&["--network", "host"]),
    Check::new("Debian 13: redis, python, node", "debian:13", PROGRAMS),
    Check::new("Debian 13: useradd, su", "debian:13", SU).needs_ids(),
];

/// Newer tools ask by newer calls first: statmount, listmount, the file system calls of 5.2.
const TOOLS: &str = r#"
if one_id; then echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/one-id; fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq -y install less >/dev/null 2>/tmp/log || { tail -n 20 /tmp/log; exit 1; }
test "$(findmnt --noheadings --output FSTYPE /proc)" = proc && df / && ps -e | grep -q ps && less --version >/dev/null
"#;

const PROGRAMS: &str = r#"
cd /tmp && redis-server --daemonize yes --dir /tmp >/dev/null && retry redis-cli set key value && redis-cli bgsave &&
retry test -s dump.rdb && python3 -c '
import asyncio, multiprocessing
with multiprocessing.Pool(4) as pool: assert pool.map(abs, range(-8, 0)) == list(range(8, 0, -1))
asyncio.run(asyncio.sleep(0))' && node -e '
require("fs").promises.readFile("/tmp/dump.rdb").then(bytes => process.exit(bytes.length ? 0 : 1))'
"#;

const SU: &str = r#"
useradd --create-home ann && echo ann:secret | chpasswd && test "$(su - ann -c 'id -un; pwd')" = "ann
/home/ann"
"#;

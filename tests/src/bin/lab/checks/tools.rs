//! Tools of every day.

use super::LAB;
use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::new("git: commit, clone, push, gc", LAB, GIT),
    Check::new("sqlite: journal, fsync, check", LAB, SQLITE),
    Check::new("gcc, make -j: library, program", LAB, MAKE),
    Check::new("ss, ip, lsof, chrt, taskset, nice", LAB, LOOK).flags(&["--network", "host"]),
    Check::new("node: worker, server, client", LAB, NODE),
    Check::new("python: threads, multiprocessing", LAB, PYTHON),
];

const GIT: &str = r#"
export HOME=/tmp && cd /tmp && git config --global user.email ann@example.org && git config --global user.name Ann &&
git init -q --bare hub && git clone -q hub one 2>/dev/null && cd one && echo 1 >file && git add file &&
git commit -qm one && git push -q origin HEAD && cd .. && git clone -q file:///tmp/hub two &&
test "$(git -C two log --format=%s)" = one && git -C two gc -q && git -C hub fsck --strict
"#;

const SQLITE: &str = r#"
for n in 40 2; do
    sqlite3 /tmp/db "pragma journal_mode = wal; pragma synchronous = full; create table if not exists t (n);
        insert into t values ($n); pragma wal_checkpoint(truncate);" || exit
done
test "$(sqlite3 /tmp/db 'pragma integrity_check; select sum(n) from t')" = "ok
42"
"#;

const MAKE: &str = r#"
mkdir /tmp/make && cd /tmp/make && for n in 1 2 3 4; do echo "int f$n(void) { return $n; }" >f$n.c; done
cat >main.c <<'END'
#include <stdio.h>
int f1(void), f2(void), f3(void), f4(void);
int main(void) { return printf("%d\n", f1() + f2() + f3() + f4()) < 0; }
END
printf 'CFLAGS = -O2 -fPIC\nall: main\nlibf.so: f1.o f2.o f3.o f4.o\n\t$(CC) -shared -o $@ $^\n' >Makefile
printf 'main: main.c libf.so\n\t$(CC) -o $@ main.c -L. -lf -Wl,-rpath,.\n' >>Makefile
make -s -j4 && test "$(./main)" = 10
"#;

const LOOK: &str = r#"
if one_id; then echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/one-id; fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq -y install iproute2 lsof >/dev/null 2>/tmp/log || { tail -n 20 /tmp/log; exit 1; }
for look in 'ss -ltn' 'ss -xl' 'ip address' 'ip route' 'lsof -p 1' 'chrt -b 0 true' 'chrt -p 1' 'taskset -c 0 true' \
    'nice -n 5 true' 'renice 5 1' 'top -b -n 1' vmstat uptime lscpu lsns lsblk 'mount -l' 'df -h'; do
    $look >/tmp/look 2>&1 || { echo "$look"; cat /tmp/look; exit 1; }
done
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

//! Databases and a message broker.

use super::LAB;
use crate::check::Check;

/// The image with the larger ones.
const DATABASE: &str = "database";

pub(super) const CHECKS: &[Check] = &[
    Check::new("redis, bgsave", LAB, REDIS),
    Check::new("postgres: initdb, start, query", LAB, POSTGRES).needs_ids(),
    Check::new("mariadb: install, start, query", DATABASE, MARIADB).stays_root(),
    Check::new("erlang: node, cookie, ping", DATABASE, ERLANG),
    Check::new("rabbitmq: start, publish, get", DATABASE, RABBITMQ).needs_ids(),
];

const REDIS: &str = r#"
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

const MARIADB: &str = r#"
user=$(owner mysql) && install -d -o $user /tmp/db &&
mariadb-install-db --user=$user --datadir=/tmp/db >/tmp/log 2>&1 || { tail -n 5 /tmp/log; exit 1; }
mariadbd --user=$user --datadir=/tmp/db --socket=/tmp/db/socket --pid-file=/tmp/db/pid >>/tmp/log 2>&1 &
ask() { mariadb --socket=/tmp/db/socket --skip-column-names --execute "$1"; }
retry ask 'select 1' || { tail -n 5 /tmp/log; exit 1; }
ask 'create database lab; create table lab.t (n int) engine = innodb; insert into lab.t values (40), (2)' &&
test "$(ask 'select sum(n) from lab.t')" = 42 && mariadb-admin --socket=/tmp/db/socket shutdown && wait
"#;

const ERLANG: &str = r#"
export HOME=/tmp && erl -noinput -sname one@localhost -setcookie lab &
asks() { erl -noinput -sname two@localhost -setcookie lab -eval \
    'case net_adm:ping(one@localhost) of pong -> rpc:call(one@localhost, init, stop, []), halt(0); _ -> halt(1) end.'; }
retry asks && wait
"#;

const RABBITMQ: &str = r#"
export RABBITMQ_NODENAME=rabbit@localhost && rabbitmq-server -detached && retry rabbitmqctl -q await_startup &&
url=amqp://guest:guest@127.0.0.1 && amqp-declare-queue -u $url -q lab && amqp-publish -u $url -r lab -b hello &&
test "$(amqp-get -u $url -q lab)" = hello && rabbitmqctl -q stop
"#;

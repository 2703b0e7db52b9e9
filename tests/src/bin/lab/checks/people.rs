//! Who is who inside: entrypoints that drop root, accounts, owners, logins.

use super::LAB;
use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::new("--user 1000:1000", LAB, USER).flags(&["--user", "1000:1000"]),
    Check::new("entrypoint: chown -R, gosu", LAB, GOSU).needs_ids(),
    Check::new("entrypoint: chown -R, setpriv", LAB, SETPRIV).needs_ids(),
    Check::new("entrypoint: setpriv --bounding-set=-all", LAB, BOUNDING).needs_ids(),
    Check::new("su", LAB, r#"test "$(su nobody -s /bin/sh -c 'id -un')" = nobody"#).needs_ids(),
    Check::new("sudo from root", LAB, r#"test "$(sudo -u nobody id -un)" = nobody"#).needs_ids(),
    Check::new("useradd, passwd, userdel", LAB, ACCOUNTS).needs_ids(),
    Check::new("tar and rsync keep owners", LAB, OWNERS).needs_ids(),
    Check::new("sshd starts, answers", LAB, SSHD),
];

/// With one id every file belongs to whoever that is inside.
const USER: &str = r#"
test "$(id -u):$(id -g)" = 1000:1000 && grep -q 'CapEff:.*0000$' /proc/self/status && touch /tmp/x || exit
one_id || ! touch /etc/x || exit
python3 -m http.server 80 --bind 127.0.0.1 >/tmp/log 2>&1 &
retry curl -fsS -o /dev/null http://127.0.0.1
"#;

/// As the official images do: redis, postgres and mysql of old.
const GOSU: &str = r#"
mkdir -p /data/below && touch /data/below/file && chown -R redis:redis /data &&
exec gosu redis:redis sh -c 'test "$(id -un):$(id -Gn)" = redis:redis && touch /data/below/file'
"#;

const SETPRIV: &str = r#"
mkdir -p /data/below && touch /data/below/file && find /data ! -user redis -exec chown redis {} + &&
exec setpriv --reuid redis --regid redis --init-groups sh -c 'test "$(id -un)" = redis && touch /data/below/file'
"#;

/// As redis since 7.4.
const BOUNDING: &str = r#"
exec setpriv --reuid redis --regid redis --init-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
    sh -c 'test "$(id -un)" = redis && ! grep Cap /proc/self/status | grep -v 0000000000000000'
"#;

const ACCOUNTS: &str = r#"
useradd --create-home ann && echo ann:first | chpasswd && printf 'second\nsecond\n' | passwd ann &&
passwd --status ann | grep -q 'ann P' && groupadd crew && usermod -aG crew ann &&
test "$(su - ann -c 'id -Gn; pwd')" = "ann crew
/home/ann" && userdel --remove ann && ! test -e /home/ann
"#;

const OWNERS: &str = r#"
mkdir /tmp/from /tmp/tar && cd /tmp/from || exit
for id in 0 1 33 1000 65534; do touch $id && chown $id:$id $id && chmod 6755 $id; done
ln 33 link && setfattr -n user.note -v here 33 2>/dev/null
list() { (cd $1 && stat -c '%n %u:%g %a %h' *); }
tar -c . | tar -xp -C /tmp/tar && rsync -aH . /tmp/rsync && list . >/tmp/a && list /tmp/tar | diff /tmp/a - &&
list /tmp/rsync | diff /tmp/a - && grep -q '^65534 65534:65534 6755 1$' /tmp/a
"#;

const SSHD: &str = r"
mkdir -p /run/sshd && ssh-keygen -A >/dev/null && /usr/sbin/sshd || exit
answers() { bash -c 'exec 3<>/dev/tcp/127.0.0.1/22 && head -n 1 <&3' | grep ^SSH; }
retry answers
";

//! What turns a base image into something of one's own: packages, terminals, locales, jobs.

use super::LAB;
use crate::check::{Check, Way};

pub(super) const CHECKS: &[Check] = &[
    Check::new("run -it, apt-get in bash", "debian:12", TYPED)
        .flags(&["-it", "--network", "host"])
        .way(Way::Typed),
    Check::new("apt-get update, install", "debian:12", APT).flags(&["--network", "host"]),
    Check::new("run -it, job control", LAB, JOBS).flags(&["-it"]).way(Way::Typed),
    Check::new("tmux", LAB, TMUX),
    Check::new("ping", LAB, "ping -c 1 127.0.0.1"),
    Check::new("cron starts", LAB, "cron && sleep 0.3 && pgrep -x cron"),
    Check::new("cron, a job of root runs", LAB, CRON).needs_ids(),
    Check::new("cron, a job of a user runs", LAB, CRON_OF_USER).needs_ids(),
    Check::new("locale-gen", LAB, LOCALE),
    Check::new("read-only root, /tmp in memory", LAB, READ_ONLY).flags(&["--read-only", "--tmpfs", "/tmp"]),
];

const TYPED: &str = r#"[ "$(tty)" = /dev/pts/0 ] || exit 1
echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/one-id
apt-get -qq update && apt-get -qq -y install less >/dev/null 2>&1 && less --version | grep 'less 590' && exit 7
exit 1
"#;

/// Where only one id is mapped `apt` cannot become `_apt`, and packages with users of their own cannot be installed.
const APT: &str = r#"
packages="nginx-light redis-server postgresql nodejs python3 iputils-ping sudo procps cron dbus openssh-server"
if one_id; then
    echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/one-id
    packages="less procps curl"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq -y install $packages >/log 2>&1 || { tail -n 20 /log; exit 1; }
one_id || test "$(stat -c %U /var/lib/apt/lists/partial)" = _apt || exit
dpkg --audit
"#;

/// A shell that stops a job of its own needs the terminal, and gets it back.
const JOBS: &str = "sh -c 'kill -TSTP $$; exit 5'; [ $? = 148 ] && fg; [ $? = 5 ] && exit 7\nexit 1\n";

const TMUX: &str = r#"
tmux new-session -d 'echo the answer is $((40 + 2)); tty; sleep 100' || exit
shown() { tmux capture-pane -p | grep -q 'answer is 42' && tmux capture-pane -p | grep -q /dev/pts/; }
retry shown && tmux kill-server
"#;

/// A minute is long: `@reboot` runs what is there when cron starts.
const CRON: &str = r#"
echo '@reboot id -un >/tmp/fired' | crontab - && cron && retry test -s /tmp/fired && grep -x root /tmp/fired
"#;

const CRON_OF_USER: &str = r#"
echo '@reboot id -un >/tmp/fired' | crontab -u www-data - && cron && retry test -s /tmp/fired &&
grep -x www-data /tmp/fired
"#;

const LOCALE: &str = r#"
echo 'de_DE.UTF-8 UTF-8' >/etc/locale.gen && locale-gen && locale -a | grep -qx de_DE.utf8 &&
test "$(LC_ALL=de_DE.UTF-8 locale decimal_point)" = ,
"#;

const READ_ONLY: &str = "! touch /here && ! touch /usr/here && touch /tmp/here && python3 -c 'import tempfile; tempfile.mkdtemp()'";

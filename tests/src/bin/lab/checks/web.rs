//! Servers of the web and of names.

use super::LAB;
use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    Check::new("nginx on port 80", LAB, "nginx && curl -fsS http://127.0.0.1/ | grep -qi nginx").needs_ids(),
    Check::new("php-fpm behind nginx", LAB, PHP).stays_root(),
    Check::new("haproxy before a server", LAB, HAPROXY).stays_root(),
    Check::new("memcached: set, get", LAB, MEMCACHED).stays_root(),
    Check::new("dnsmasq: query by UDP and TCP", LAB, DNSMASQ).needs_ids(),
    Check::new("bind9: query by UDP and TCP", LAB, NAMED).stays_root(),
];

/// php-fpm refuses to serve as root unless told so (`-R`).
const PHP: &str = r#"
user=$(owner www-data) && mkdir -p /run/php && sed -i "s/^user .*/user $user;/" /etc/nginx/nginx.conf &&
sed -i "s/^\(user\|group\|listen.owner\|listen.group\) = .*/\1 = $user/" /etc/php/*/fpm/pool.d/www.conf &&
/usr/sbin/php-fpm* $(one_id && echo -R) 2>/tmp/log || { cat /tmp/log; exit 1; }
cat >/etc/nginx/sites-enabled/default <<END
server {
    listen 80;
    root /var/www/html;
    location / { include fastcgi.conf; fastcgi_pass unix:$(ls /run/php/*.sock | head -n 1); }
}
END
echo '<?php echo 40 + 2, " ", $_SERVER["REQUEST_METHOD"];' >/var/www/html/answer.php
nginx && test "$(curl -fsS http://127.0.0.1/answer.php)" = '42 GET'
"#;

const HAPROXY: &str = r#"
mkdir /tmp/www && echo behind >/tmp/www/index.html
python3 -m http.server 8080 --bind 127.0.0.1 --directory /tmp/www >/dev/null 2>&1 &
cat >/tmp/haproxy <<END
global
    user $(owner haproxy)
    group $(owner haproxy)
    stats socket /tmp/stats
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen lab
    bind 127.0.0.1:80
    server python 127.0.0.1:8080
END
haproxy -D -f /tmp/haproxy && answers() { curl -fsS http://127.0.0.1/ | grep -x behind; } && retry answers
"#;

const MEMCACHED: &str = r#"
memcached -u $(owner memcache) -l 127.0.0.1 &
answers() { printf 'set k 0 0 2\r\n42\r\nget k\r\nquit\r\n' | nc -w 5 127.0.0.1 11211 | grep 42; }
retry answers
"#;

const DNSMASQ: &str = r#"
dnsmasq --no-resolv --no-hosts --address=/lab.test/192.0.2.7 || exit
answers() { dig "$@" +short +time=1 +tries=1 @127.0.0.1 lab.test | grep -x 192.0.2.7; }
retry answers && answers +tcp
"#;

const NAMED: &str = r#"
named $(one_id || echo -u bind) || exit
answers() { dig "$@" +short +time=1 +tries=1 @127.0.0.1 localhost | grep -x 127.0.0.1; }
retry answers && answers +tcp
"#;

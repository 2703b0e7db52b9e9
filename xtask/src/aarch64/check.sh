#!/bin/busybox sh
# What a container's life needs of the other instruction set: made, filtered, joined, ended; as root and as a user.
# Each line that counts begins with `aarch64: `.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin
busybox mount -t proc proc /proc
busybox mkdir -p /usr/local/bin
busybox --install -s /usr/local/bin
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
ip link set lo up
chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap
printf 'root:x:0:0::/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n' >/etc/passwd
printf 'root:x:0:\nuser:x:1000:\n' >/etc/group
printf 'root:1000000:1000000\nuser:100000:65536\n' | tee /etc/subuid >/etc/subgid
mkdir -p /root /home/user /tmp/image/bin
chown 1000:1000 /home/user
cp /bin/busybox /tmp/image/bin/
for name in sh id cat sleep echo uname; do ln -s busybox /tmp/image/bin/$name; done
tar -C /tmp/image -cf /tmp/image.tar .

cat >/tmp/checks <<'CHECKS'
person=$(id -un)
check() {
    name=$1
    shift
    if "$@" >/tmp/said.$person 2>&1; then
        echo "aarch64: ok $person $name"
    else
        echo "aarch64: FAILED $person $name ($?)"
        tail -n 5 /tmp/said.$person
    fi
}
says() {
    wanted=$1
    shift
    "$@" >/tmp/heard.$person && grep -q "$wanted" /tmp/heard.$person
}
check "hello" says "doors closed; none open" brig run --rm hello
check "import" brig import /tmp/image.tar image
check "run" says "^aarch64$" brig run --rm --network none image uname -m
check "detached" brig run -d --network none --name web image sh -c 'echo up; sleep 1000'
check "exec" says "^Seccomp:.*2$" brig exec web cat /proc/self/status
check "logs" says "^up$" brig logs web
check "ps" says " web$" brig ps
check "stop" brig stop -t 0 web
check "rm" brig rm web
check "system check" brig system check
CHECKS
busybox sh /tmp/checks
busybox su user -c "cd; export HOME=/home/user XDG_RUNTIME_DIR=/home/user; busybox sh /tmp/checks"
echo "aarch64: end"
poweroff -f

//! Socket families and protocols, each really tried.

use sys::raw::Step;

use crate::call::Door;

/// Families by number, `<linux/socket.h>`; 45 is the last one of Linux 6.18.
const FAMILIES: [&str; 46] = [
    "UNSPEC",
    "UNIX",
    "INET",
    "AX25",
    "IPX",
    "APPLETALK",
    "NETROM",
    "BRIDGE",
    "ATMPVC",
    "X25",
    "INET6",
    "ROSE",
    "DECnet",
    "NETBEUI",
    "SECURITY",
    "KEY",
    "NETLINK",
    "PACKET",
    "ASH",
    "ECONET",
    "ATMSVC",
    "RDS",
    "SNA",
    "IRDA",
    "PPPOX",
    "WANPIPE",
    "LLC",
    "IB",
    "MPLS",
    "CAN",
    "TIPC",
    "BLUETOOTH",
    "IUCV",
    "RXRPC",
    "ISDN",
    "PHONET",
    "IEEE802154",
    "CAIF",
    "ALG",
    "NFC",
    "VSOCK",
    "KCM",
    "QIPCRTR",
    "SMC",
    "XDP",
    "MCTP",
];

/// Families that programs need: their being reachable is no door.
const NEEDED: [usize; 4] = [1, 2, 10, 16];

/// Protocols of the netlink family, `<linux/netlink.h>`; 0 (route) is needed by `getaddrinfo` and `ip`.
const NETLINK: [(usize, &str); 20] = [
    (0, "ROUTE"),
    (2, "USERSOCK"),
    (3, "FIREWALL"),
    (4, "SOCK_DIAG"),
    (5, "NFLOG"),
    (6, "XFRM"),
    (7, "SELINUX"),
    (8, "ISCSI"),
    (9, "AUDIT"),
    (10, "FIB_LOOKUP"),
    (11, "CONNECTOR"),
    (12, "NETFILTER"),
    (13, "IP6_FW"),
    (14, "DNRTMSG"),
    (15, "KOBJECT_UEVENT"),
    (16, "GENERIC"),
    (18, "SCSITRANSPORT"),
    (19, "ECRYPTFS"),
    (20, "RDMA"),
    (21, "CRYPTO"),
];

const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const RAW: usize = 3;
const SEQUENCED: usize = 5;

/// The doors of this module, for the common batch.
pub(crate) fn doors() -> Vec<Door> {
    let mut doors = Vec::with_capacity(80);
    for (number, name) in FAMILIES.iter().enumerate() {
        // A type that the family has, where it has only one: else ESOCKTNOSUPPORT, which is open as well.
        let kind = match number {
            38 => SEQUENCED,
            44 => RAW,
            40 => STREAM,
            _ => DATAGRAM,
        };
        // Kernel code of a family is reached, and its module loaded, by any call that is not refused
        // before: CVE-2026-31431 (ALG), CVE-2020-14386 (PACKET) and many more.
        let door = socket("socket families", name, number, kind, 0, "rarely used kernel code");
        doors.push(door.needed_if(NEEDED.contains(&number)));
    }
    for (number, name) in NETLINK {
        const WHY: &str = "the kernel's configuration (CVE-2024-1086, XFRM)";
        doors.push(socket("netlink protocols", name, 16, RAW, number, WHY).needed_if(number == 0));
    }
    const PROTOCOLS: &str = "socket protocols";
    doors.push(socket(PROTOCOLS, "raw IPv4", 2, RAW, 1, "forged packets to the neighbours"));
    doors.push(socket(PROTOCOLS, "raw IPv6", 10, RAW, 58, "forged router advertisements"));
    doors.push(socket(PROTOCOLS, "ping IPv4", 2, DATAGRAM, 1, "ping without a capability").needed_if(true));
    doors.push(socket(PROTOCOLS, "MPTCP", 2, STREAM, 262, "multipath TCP").needed_if(true));
    doors
}

fn socket(
    group: &'static str,
    name: &str,
    family: usize,
    kind: usize,
    protocol: usize,
    why: &'static str,
) -> Door {
    let step =
        Step::Native { number: libc::SYS_socket, arguments: [family, kind, protocol, 0, 0, 0], closes: true };
    Door::new(group, name, step, why)
}

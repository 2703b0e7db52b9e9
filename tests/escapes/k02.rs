//! K2: the kernel's crypto sockets (Copy Fail), and every family and netlink protocol that programs in containers do not need.

use tests::control;
use tests::escape::{Kind, Row, Target};

use crate::doors::{Door, are_open_under_podman, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K2",
    title: "socket families and protocols with a history of faults",
    faults: &["CVE-2026-31431", "CVE-2021-22555", "CVE-2020-14386", "CVE-2019-8912"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/rows.rs: a list of four families and one netlink protocol, native ABI only",
};

/// Closed by default.
const DOORS: &[Door] = &[
    ("socket families", "ALG"),
    ("socket families", "VSOCK"),
    ("socket families", "PACKET"),
    ("socket families", "XDP"),
    ("socket families", "RXRPC"),
    ("socket families", "KEY"),
    ("socket families", "CAN"),
    ("socket families", "TIPC"),
    ("socket families", "BLUETOOTH"),
    ("socket families", "RDS"),
    ("socket families", "NFC"),
    ("socket families", "SMC"),
    ("socket families", "X25"),
    ("socket families", "DECnet"),
    ("socket families", "PPPOX"),
    ("socket families", "LLC"),
    ("socket families", "PHONET"),
    ("socket families", "IEEE802154"),
    ("socket families", "CAIF"),
    ("socket families", "KCM"),
    ("socket families", "QIPCRTR"),
    ("socket families", "MCTP"),
    ("socket families", "AX25"),
    ("socket families", "IPX"),
    ("socket families", "APPLETALK"),
    ("netlink protocols", "XFRM"),
    ("netlink protocols", "NETFILTER"),
    ("netlink protocols", "SOCK_DIAG"),
    ("netlink protocols", "AUDIT"),
    ("netlink protocols", "GENERIC"),
    ("netlink protocols", "KOBJECT_UEVENT"),
    ("netlink protocols", "CONNECTOR"),
    ("netlink protocols", "CRYPTO"),
    ("netlink protocols", "RDMA"),
    ("netlink protocols", "ISCSI"),
    ("foreign ABIs", "i386 socketcall AF_VSOCK"),
    ("foreign ABIs", "i386 socketcall AF_ALG"),
];

/// Those that this kernel was built with, and opens to root.
const BUILT: &[Door] = &[
    ("socket families", "VSOCK"),
    ("socket families", "PACKET"),
    ("socket families", "XDP"),
    ("netlink protocols", "XFRM"),
    ("netlink protocols", "NETFILTER"),
    ("netlink protocols", "CRYPTO"),
    ("foreign ABIs", "i386 socketcall AF_VSOCK"),
];

/// Those that need no capability over the host's namespaces.
const FREE: &[Door] = &[
    ("socket families", "VSOCK"),
    ("netlink protocols", "XFRM"),
    ("netlink protocols", "NETFILTER"),
    ("foreign ABIs", "i386 socketcall AF_VSOCK"),
];

closed_by_default!(DOORS, opened to root: BUILT, to a user: FREE);

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[
            ("socket families", "VSOCK"),
            ("netlink protocols", "XFRM"),
            ("netlink protocols", "NETFILTER"),
            ("foreign ABIs", "i386 socketcall AF_VSOCK"),
        ],
    )
});

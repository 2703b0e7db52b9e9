use super::*;
use crate::{Subordinate, SubordinateTable};

fn facts(uid: u32, subuid: Option<&str>, subgid: Option<&str>) -> Facts {
    let accounts = vec![
        ("root".to_owned(), 0),
        ("ann".to_owned(), 1000),
        ("dockermap".to_owned(), 1001),
        ("kasun".to_owned(), 1002),
    ];
    let table = |text: Option<&str>| text.map(|text| SubordinateTable::parse(text.as_bytes()).unwrap());
    let (subuid, subgid) = (table(subuid), table(subgid));
    let name = accounts.iter().find(|(_, known)| *known == uid).map(|(name, _)| name.clone());
    let spans = |table: &Option<SubordinateTable>| {
        table.as_ref().map(|table| table.spans_of(name.as_deref(), uid)).unwrap_or_default()
    };
    Facts {
        privilege: if uid == 0 { Privilege::Root } else { Privilege::User },
        uid,
        subordinate: Subordinate { uids: spans(&subuid), gids: spans(&subgid), name },
        from_service: false,
        groups: accounts.clone(),
        accounts,
        subuid,
        subgid,
        lookalikes: Vec::new(),
        newuidmap: Some(HelperFile { path: "/usr/bin/newuidmap".into(), privileged: true, nosuid: false }),
        newgidmap: Some(HelperFile { path: "/usr/bin/newgidmap".into(), privileged: true, nosuid: false }),
        switches: Switches { max: Some(1000), ..Switches::default() },
        attempt: Attempt::Works,
    }
}

/// The findings that are not `applied`, as `detail | mend`.
fn complaints(facts: &Facts) -> Vec<String> {
    judge(facts)
        .into_iter()
        .filter(|finding| finding.status != Status::Applied)
        .map(|finding| format!("{} | {}", finding.detail, finding.mend.unwrap_or_default()))
        .collect()
}

#[test]
fn a_good_host_has_no_complaint() {
    let good = "ann:100000:65536\n1001:165536:65536\n";
    assert_eq!(complaints(&facts(1000, Some(good), Some(good))), [""; 0]);
    assert_eq!(complaints(&facts(0, None, None)), [""; 0]);
    // One file by name, the other by uid: the same user.
    assert_eq!(complaints(&facts(1000, Some("ann:100000:65536"), Some("1000:100000:65536"))), [""; 0]);
}

#[test]
fn a_misspelt_user() {
    let found = complaints(&facts(
        1000,
        Some("ann:100000:65536\nksaun:165536:65536\n"),
        Some("ann:100000:65536\nkasun:165536:65536\n"),
    ));
    assert_eq!(
        found[0],
        "line 2 of `/etc/subuid` is for `ksaun`, which is no user here, did you mean `kasun`? | \
         sed -i '2s/^ksaun:/kasun:/' /etc/subuid"
    );
}

#[test]
fn a_name_that_differs_between_the_files() {
    let found = complaints(&facts(0, Some("dockermapper:100000:65536"), Some("dockermap:100000:65536")));
    assert!(found[0].contains("did you mean `dockermap`?"), "{found:?}");
    assert!(
        found.contains(
            &"`/etc/subuid` has ids for `dockermapper`, `/etc/subgid` for `dockermap`: one is misspelt | \
              sed -i 's/^dockermapper:/dockermap:/' /etc/subuid"
                .to_owned()
        ),
        "{found:?}"
    );
}

#[test]
fn a_misspelt_file() {
    let mut host = facts(1000, Some("ann:100000:65536"), None);
    host.lookalikes = vec!["eubgid".to_owned()];
    let found = complaints(&host);
    assert_eq!(
        found[0],
        "`/etc/eubgid` is read by nobody: `/etc/subgid` was meant | mv /etc/eubgid /etc/subgid"
    );
    assert!(found.iter().any(|line| line.starts_with("`/etc/subgid` does not exist")), "{found:?}");
    let mut host = facts(1000, Some("ann:100000:65536"), Some("ann:100000:65536"));
    host.lookalikes = vec!["subgids".to_owned()];
    assert_eq!(
        complaints(&host),
        [
            "`/etc/subgids` is read by nobody: `/etc/subgid` was meant | cat /etc/subgids >> /etc/subgid && rm /etc/subgids"
        ]
    );
}

#[test]
fn a_line_in_the_wrong_file() {
    let found = complaints(&facts(1000, Some("ann:100000:65536\nann:200000:65536\n"), Some("")));
    assert!(
        found[0]
            .starts_with("line 2 of `/etc/subuid` is a second one for `ann`, who has none in `/etc/subgid`")
            && found[0].ends_with("sed -n 2p /etc/subuid >> /etc/subgid && sed -i 2d /etc/subuid"),
        "{found:?}"
    );
}

#[test]
fn overlaps_of_users_and_with_real_ids() {
    let table = "ann:100000:65536\nkasun:150000:65536\n";
    let found = complaints(&facts(1000, Some(table), Some("ann:100000:65536\nkasun:165536:65536\n")));
    assert_eq!(
        found,
        [
            "lines 1 and 2 of `/etc/subuid`, of `ann` and `kasun`, share ids: each can touch the other's files | \
          sed -i '2s/.*/kasun:231072:65536/' /etc/subuid"
        ]
    );
    let nested = "ann:100000:65536\nkasun:110000:10\ndockermap:120000:10\n";
    assert_eq!(complaints(&facts(0, Some(nested), Some(nested))).len(), 4);
    let real = complaints(&facts(0, Some("ann:500:1000"), Some("ann:100000:65536")));
    assert!(real[0].contains("gives `ann` the id 1000 of the real user `ann`"), "{real:?}");
}

#[test]
fn too_few_or_no_ids() {
    let found = complaints(&facts(1000, Some("ann:100000:1000"), Some("ann:100000:65536")));
    assert_eq!(
        found,
        ["`ann` has 1000 ids, images use up to 65536 | usermod --add-subuids 165536-231071 ann"]
    );
    let found = complaints(&facts(1000, Some(""), Some("")));
    assert_eq!(found.len(), 2);
    assert!(found[0].ends_with("| usermod --add-subuids 100000-165535 ann"), "{found:?}");
    let found = complaints(&facts(4711, None, None));
    assert!(found[0].ends_with("| echo 4711:100000:65536 >> /etc/subuid"), "{found:?}");
}

#[test]
fn bad_lines_and_hostile_names() {
    let found =
        complaints(&facts(0, Some("ann:100000:65536\nkasun:1\nx';reboot;':5:5\n"), Some("ann:100000:65536")));
    assert!(found[0].starts_with("line 2 of `/etc/subuid` is not `user:start:count`"), "{found:?}");
    assert!(found.iter().all(|line| !line.split(" | ").nth(1).unwrap().contains("reboot")), "{found:?}");
}

#[test]
fn helpers_and_sysctls() {
    let good = Some("ann:100000:65536");
    let check = |change: fn(&mut Facts), expected: &str| {
        let mut host = facts(1000, good, good);
        change(&mut host);
        let found = complaints(&host);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    check(|host| host.newuidmap = None, "| apt-get install uidmap");
    check(|host| host.newgidmap.as_mut().unwrap().privileged = false, "chmod u+s /usr/bin/newgidmap");
    check(|host| host.newuidmap.as_mut().unwrap().nosuid = true, "remount,suid");
    check(|host| host.switches.max = Some(0), "sysctl -w user.max_user_namespaces=15000");
    check(|host| host.attempt = Attempt::Refused(rustix::io::Errno::PERM), "chroot");
    let mut root = facts(0, good, good);
    root.newuidmap = None;
    root.switches.unprivileged_clone = Some(0);
    assert_eq!(complaints(&root), [""; 0]);
}

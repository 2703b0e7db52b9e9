//! The same as a plain user: with subordinate ids, and with none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fixture::{self, Test, assert_sound, import, reference};

pub(crate) const TESTS: &[Test] = &[("with_subids", with_subids), ("without_subids", without_subids)];

fn with_subids() {
    testkit::needs!(user_with_subids);
    in_login(&testkit::User::with_subids());
}

fn without_subids() {
    testkit::needs!(user_without_subids);
    in_login(&testkit::User::without_subids());
}

fn in_login(user: &testkit::User) {
    let program = user.install(&std::env::current_exe().unwrap());
    let outcome =
        testkit::run(user.command(program).args(["child", "rootless"]).arg(user.home().join("store")));
    outcome.success();
}

/// Runs as the user.
pub(crate) fn as_user(root: &Path) {
    let store = fixture::open(root);
    let single = store.ownership().is_single();
    let archive = owned_archive();
    let image = store.import(&mut &archive[..], &reference("x:1"), &fixture::OPTIONS).unwrap();
    let layer = store.path().join("layers").join(image.layers[0].hex());
    let uid = |name: &str| fs::symlink_metadata(layer.join("fs").join(name)).unwrap().uid();
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(uid("root-file"), own);
    match store.ownership() {
        store::Ownership::Mapped { uid: map, .. } if !single => {
            assert_eq!(uid("user-dir"), map.to_host(1000).unwrap());
            assert_ne!(uid("user-dir"), own);
        }
        _ => assert_eq!(uid("user-dir"), own),
    }
    // a directory that its owner may not write to, of another id, goes as well
    import(&store, "y:1", &[("a", b"1")]);
    assert_sound(&store);
    store.remove("x:1", store::Force::No).unwrap();
    assert!(!layer.exists());
    store.prune(true).unwrap();
    assert_sound(&store);
    assert_eq!(fs::read_dir(store.path().join("layers")).unwrap().count(), 0);
}

/// A tree with a directory of user 1000 and a file in it.
fn owned_archive() -> Vec<u8> {
    let mut archive = fixture::tar(&[("root-file", b"1"), ("user-dir/", b""), ("user-dir/file", b"2")]);
    // the second and later headers get ids: 2 blocks for the first file
    for start in [1024, 1536] {
        let header = &mut archive[start..start + 512];
        header[108..115].copy_from_slice(b"0001750");
        header[116..123].copy_from_slice(b"0001750");
        header[100..107].copy_from_slice(b"0000500");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}

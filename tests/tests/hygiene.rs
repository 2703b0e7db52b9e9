//! Nothing of ours outlives its container: no mount, process, cgroup, file or lock.

use testkit::{Bundle, Hygiene, TempDir, User};

#[test]
fn fixtures_leave_nothing() {
    testkit::needs!(user_with_subids, program("busybox"));
    let before = Hygiene::capture();
    let (directory, user) = (TempDir::new(), User::with_subids());
    let (path, home) = (directory.path().to_owned(), user.home());
    drop(Bundle::new(&directory.join("bundle"), &["true"]));
    testkit::run(user.command("sh").args(["-c", "echo $HOME; cat /proc/self/uid_map > file"])).success();
    drop((directory, user));
    before.assert_same();
    assert!(!path.exists() && !home.exists());
}

//! Pause points: where a race test stops us between resolving and using.
//!
//! In a build with the feature `test-pauses`, [`at`] compares its name with the environment variable
//! `BRIG_PAUSE_AT` (names separated by commas). On a match it makes `$BRIG_PAUSE_DIR/<name>.reached`
//! and waits until `$BRIG_PAUSE_DIR/<name>.go` exists; the test changes the tree meanwhile. In any other
//! build it is an empty function, and this is the only place of the workspace's libraries that reads an
//! environment variable.

/// Stops at the pause point `name` if a race test asks for it.
#[cfg(not(feature = "test-pauses"))]
#[inline(always)]
pub const fn at(_name: &str) {}

/// Stops at the pause point `name` if a race test asks for it.
///
/// # Panics
/// When the test's directory is missing, or when the test does not answer within a minute: a race test
/// that goes on by itself would pass without having tested anything.
#[cfg(feature = "test-pauses")]
pub fn at(name: &str) {
    let Ok(wanted) = std::env::var("BRIG_PAUSE_AT") else { return };
    if !wanted.split(',').any(|point| point == name) {
        return;
    }
    let directory = std::env::var_os("BRIG_PAUSE_DIR").expect("BRIG_PAUSE_AT comes with BRIG_PAUSE_DIR");
    let directory = std::path::PathBuf::from(directory);
    std::fs::write(directory.join(format!("{name}.reached")), "").expect("the test made BRIG_PAUSE_DIR");
    let go = directory.join(format!("{name}.go"));
    for _ in 0..60_000 {
        if go.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("pause point `{name}`: no `{}` within a minute", go.display());
}

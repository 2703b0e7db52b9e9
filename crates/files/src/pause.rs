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
    let pid = std::process::id().to_string();
    std::fs::write(directory.join(format!("{name}.reached")), pid).expect("the test made BRIG_PAUSE_DIR");
    let go = directory.join(format!("{name}.go"));
    for _ in 0..60_000 {
        if go.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("pause point `{name}`: no `{}` within a minute", go.display());
}

/// Pause points of a process that may not allocate: everything is opened before it is cloned.
///
/// `BRIG_PAUSE_AT` names them as for [`at`], and may say of which path: `mount:dev/shm`. The two files
/// `<name>.reached` and `<name>.go` exist from the start here, what is in them is what counts.
/// Without the feature `test-pauses` this holds nothing and does nothing.
#[cfg(not(feature = "test-pauses"))]
#[derive(Debug, Default)]
pub struct Points;

#[cfg(not(feature = "test-pauses"))]
impl Points {
    /// Opens what the test asks for.
    #[inline(always)]
    #[must_use]
    pub const fn prepare() -> Self {
        Self
    }

    /// Stops at the pause point `name` on the way to `path` if a race test asks for it.
    #[inline(always)]
    pub const fn at(&self, _name: &str, _path: &[u8]) {}
}

/// See the other definition.
#[cfg(feature = "test-pauses")]
#[derive(Debug, Default)]
pub struct Points(Vec<Point>);

#[cfg(feature = "test-pauses")]
#[derive(Debug)]
struct Point {
    name: String,
    path: Option<Vec<u8>>,
    reached: std::fs::File,
    go: std::fs::File,
}

#[cfg(feature = "test-pauses")]
impl Points {
    /// Opens what the test asks for.
    ///
    /// # Panics
    /// When the test's directory is missing.
    #[must_use]
    pub fn prepare() -> Self {
        let Ok(wanted) = std::env::var("BRIG_PAUSE_AT") else { return Self::default() };
        let directory = std::env::var_os("BRIG_PAUSE_DIR").expect("BRIG_PAUSE_AT comes with BRIG_PAUSE_DIR");
        let directory = std::path::PathBuf::from(directory);
        let point = |text: &str| {
            let (name, path) = match text.split_once(':') {
                Some((name, path)) => (name, Some(path.as_bytes().to_vec())),
                None => (text, None),
            };
            let open = |suffix| {
                let path = directory.join(format!("{name}.{suffix}"));
                let mut options = std::fs::File::options();
                options.read(true).append(true).create(true).open(path).expect("the test made BRIG_PAUSE_DIR")
            };
            Point { name: name.to_owned(), path, reached: open("reached"), go: open("go") }
        };
        Self(wanted.split(',').map(point).collect())
    }

    /// Stops at the pause point `name` on the way to `path` if a race test asks for it.
    pub fn at(&self, name: &str, path: &[u8]) {
        use std::os::unix::fs::FileExt;
        let matches =
            |point: &&Point| point.name == name && point.path.as_deref().is_none_or(|it| it == path);
        let Some(point) = self.0.iter().find(matches) else { return };
        let mut number = [b' '; 20];
        let written = std::io::Write::write_fmt(&mut &mut number[..], format_args!("{}", std::process::id()));
        if written.is_err() || rustix::io::write(&point.reached, &number).is_err() {
            std::process::abort();
        }
        let pause = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        for _ in 0..60_000 {
            if point.go.read_at(&mut [0], 0).is_ok_and(|count| count == 1) {
                return;
            }
            // Woken early or not, it looks again.
            drop(rustix::thread::nanosleep(&pause));
        }
        // A race test that went on by itself would pass without having tested anything.
        std::process::abort();
    }
}

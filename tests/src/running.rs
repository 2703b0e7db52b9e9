//! A container that runs in the background for as long as a story needs it.

use crate::Brig;

/// A detached busybox container, removed when this is dropped.
#[derive(Debug)]
pub struct Running<'a> {
    brig: &'a Brig,
    name: String,
}

impl<'a> Running<'a> {
    /// Starts one with these flags of `run` and this shell script, and waits until the script is in its final `sleep`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(brig: &'a Brig, name: &str, flags: &[&str], script: &str) -> Self {
        Self::of(brig, name, flags, "busybox", script)
    }

    /// The same of another image.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn of(brig: &'a Brig, name: &str, flags: &[&str], image: &str, script: &str) -> Self {
        let script = format!("{script}\necho story-ready; exec sleep 1000");
        let arguments =
            [&["run", "-d", "--name", name], flags, &[image, "/bin/sh", "-c", script.as_str()]].concat();
        testkit::run_detached(&mut brig.command(&arguments)).success();
        let running = Self { brig, name: name.to_owned() };
        for _ in 0..2000 {
            if brig.run(&["logs", name]).stdout.contains("story-ready") {
                return running;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("`{name}` does not get ready: {}", brig.run(&["logs", name]));
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        drop(self.brig.run(&["rm", "-f", &self.name]));
    }
}

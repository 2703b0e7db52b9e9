//! A place for test cgroups that is gone when the test ends, also after a panic.
#![allow(dead_code, missing_debug_implementations, unreachable_pub, reason = "each test program uses a part")]

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Mutex;

use cgroup::{Cgroup, Controllers, Driver, Hierarchies, Layout, Request, Strictness, Warning};
use oci::runtime::Resources;
use rustix::process::Signal;

/// Cgroups of one test below `/brig-test-<pid>/<name>`.
pub struct Scratch {
    name: &'static str,
    parent: String,
    layout: Layout,
}

/// How many tests hold the parent.
static HOLDERS: Mutex<usize> = Mutex::new(0);

impl Scratch {
    pub fn new(name: &'static str) -> Self {
        Self::with_layout(name, Layout::detect().unwrap())
    }

    pub fn with_layout(name: &'static str, layout: Layout) -> Self {
        *HOLDERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
        Self { name, parent: format!("/brig-test-{}", std::process::id()), layout }
    }

    pub fn path(&self) -> String {
        format!("{}/{}", self.parent, self.name)
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn request<'a>(&self, path: &'a str) -> Request<'a> {
        Request {
            id: "unused",
            path: Some(path),
            driver: Driver::Filesystem,
            rootless: false,
            shared: false,
            systemd: None,
            hierarchies: Hierarchies::Needed,
            controllers: Controllers::NONE,
        }
    }

    pub fn try_create(&self, json: &str) -> cgroup::Result<(Cgroup, Vec<Warning>)> {
        let path = self.path();
        Cgroup::create(&self.layout, &self.request(&path), &resources(json))
    }

    pub fn create(&self, json: &str) -> Cgroup {
        let (cgroup, warnings) = self.try_create(json).unwrap();
        assert_eq!(warnings, []);
        let warnings = cgroup.apply(&resources(json), Strictness::Requested).unwrap();
        assert_eq!(warnings, []);
        cgroup
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path = self.path();
        let request = Request {
            shared: true,
            hierarchies: Hierarchies::All,
            controllers: Controllers::needed(&resources(r#"{"unified":{"hugetlb.x":"0"}}"#)),
            ..self.request(&path)
        };
        if let Ok((cgroup, _)) = Cgroup::create(&self.layout, &request, &Resources::default()) {
            // Best effort: what a failed test left.
            drop(cgroup.kill(Signal::KILL));
            for _ in 0..100 {
                if cgroup.is_empty().unwrap_or(true) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            drop(cgroup.remove());
        }
        let mut holders = HOLDERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *holders -= 1;
        if *holders == 0 {
            // This test may have seen a part of the machine only, the others more.
            for hierarchy in Layout::detect().unwrap_or_default().hierarchies() {
                drop(std::fs::remove_dir(format!("{}{}", hierarchy.mount, self.parent)));
            }
        }
    }
}

pub fn resources(json: &str) -> Resources {
    serde_json::from_str(json).unwrap()
}

/// A shell that waits for [`Waiting::go`] before it runs its script.
pub struct Waiting {
    child: Child,
    input: ChildStdin,
}

impl Waiting {
    pub fn new(script: &str) -> Self {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("read line; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, input }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn go(mut self) -> Child {
        self.input.write_all(b"go\n").unwrap();
        self.child
    }

    /// Lets go of it, dead or alive.
    pub fn go_quietly(mut self) -> Child {
        drop(self.input.write_all(b"go\n"));
        self.child
    }

    /// Lets it run to its end.
    pub fn finish(self) -> Output {
        self.go().wait_with_output().unwrap()
    }
}

/// Waits until `condition` holds; the deadline only catches a hang.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what} did not happen");
}

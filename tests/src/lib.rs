//! The stories of `brig`'s users, one file per story in `tests/`, told through the command line only.
//!
//! [`story!`] runs each as root, as a fresh unprivileged user with subordinate ids, and where it says so as one
//! without. A story owns its store and run directories and leaves nothing behind.
#![forbid(unsafe_code)]

pub mod attack;
mod brig;
pub mod escape;
pub mod hostile;
pub mod running;
pub mod shape;
pub mod terminal;
pub mod transcript;
pub mod world;

pub use brig::Brig;

/// Waits for what a container does on its own and no event tells.
///
/// # Panics
/// When it is not so after a minute: it guards the suite, no story asserts a time.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Declares a story and who lives it: `story!(name, [root, user, bare], |brig| { ... });` makes the tests
/// `name::root`, `name::user` and `name::bare` (a user without subordinate ids).
#[macro_export]
macro_rules! story {
    ($name:ident, [$($who:ident),+ $(,)?], |$brig:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports, reason = "a story may use only its argument")]
            use super::*;
            fn story($brig: &$crate::Brig) $body
            $($crate::story!(@ $who);)+
        }
    };
    (@ root) => {
        #[test]
        fn root() {
            testkit::needs!(root, program("busybox"));
            story(&$crate::Brig::root());
        }
    };
    (@ user) => {
        #[test]
        fn user() {
            testkit::needs!(user_with_subids, userns, program("busybox"));
            story(&$crate::Brig::user());
        }
    };
    (@ bare) => {
        #[test]
        fn bare() {
            testkit::needs!(user_without_subids, userns, program("busybox"));
            story(&$crate::Brig::bare());
        }
    };
}

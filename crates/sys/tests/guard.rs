//! The allocation guard of test builds ends a process that allocates after `forbid`, and no other.
//!
//! Without a harness: cloning needs a process with one thread.

#![expect(clippy::print_stdout, reason = "a test program without a harness says what it ran")]

use std::hint::black_box;

use sys::fork::{Exit, fork_closure};

#[global_allocator]
static GUARD: sys::guard::Allocator = sys::guard::Allocator;

fn main() {
    let end = |closure: fn() -> u8| fork_closure(0, closure).expect("a child").wait().expect("its end");
    let allowed = end(|| u8::try_from(black_box(vec![1_u8; 64]).len()).unwrap_or(0));
    assert_eq!(allowed, Exit::Code(64));
    let forbidden = end(|| {
        sys::guard::forbid();
        u8::try_from(black_box(vec![1_u8; 64]).len()).unwrap_or(0)
    });
    assert_eq!(forbidden, Exit::Signal(6));
    println!("guard: 2 tests ran");
}

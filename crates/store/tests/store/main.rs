//! The store as a whole: import, load, remove, and what a kill, a race or a hostile archive does to it.
//!
//! No test harness: that one starts threads, and a process with threads must not fork the unpacking child.
//! The binary also runs itself, as `<name> child <operation> <arguments>`, to be killed or to be a user.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, though clippy cannot know without a harness"
)]

mod crash;
mod fixture;
mod hostile;
mod images;
mod producers;
mod rootless;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "child") {
        fixture::child(&arguments[1..]);
        return;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let tests = [images::TESTS, hostile::TESTS, crash::TESTS, producers::TESTS, rootless::TESTS].concat();
    let mut passed = 0;
    for (name, body) in tests {
        if filter.is_none_or(|filter| name.contains(filter.as_str())) {
            println!("test {name} ...");
            body();
            passed += 1;
        }
    }
    println!("store: {passed} tests ran");
}

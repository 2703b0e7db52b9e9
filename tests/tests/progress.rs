//! Long work shows how far it has come, on a terminal at standard error and nowhere else.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::terminal::{Drawing, Drawn};
use tests::{Brig, eventually, story};

const ERASE: &str = "\r\u{1b}[2K";
/// Longer than any work that is silent for being short: what is not drawn until then is not drawn.
const LONG: Duration = Duration::from_millis(1500);

fn archive(brig: &Brig) -> Vec<u8> {
    fs::read(testkit::busybox_tar(brig.directory())).unwrap()
}

/// Feeds half, waits for the line, and feeds the rest.
fn slowly(brig: &Brig, arguments: &[&str], bytes: &[u8], step: &str, columns: u16) -> Drawn {
    let mut drawing = Drawing::start(&mut brig.command(arguments), columns);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    drawing.feed(first);
    drawing.until(step);
    drawing.feed(second);
    drawing.finish()
}

/// Feeds half, waits longer than a short command may take, and feeds the rest.
fn for_long(brig: &Brig, arguments: &[&str], variable: (&str, &str), bytes: &[u8]) -> Drawn {
    let mut drawing = Drawing::start(brig.command(arguments).env(variable.0, variable.1), 80);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    drawing.feed(first);
    let start = Instant::now();
    eventually("the command ran for long", || start.elapsed() > LONG);
    drawing.feed(second);
    drawing.finish()
}

/// Lines without colour that fit, and nothing left of them.
fn assert_drawn(drawn: &Drawn, columns: usize) {
    assert_eq!(drawn.code, Some(0), "{drawn:?}");
    assert!(drawn.terminal.starts_with(ERASE) && drawn.terminal.ends_with(ERASE), "{drawn:?}");
    for line in drawn.terminal.split(ERASE) {
        assert!(line.len() < columns && !line.contains(|c: char| c.is_control()), "{line:?}");
    }
}

story!(import_and_load_show_how_far_they_are, [root, user], |brig| {
    let bytes = archive(brig);
    let drawn = slowly(brig, &["import", "-", "busybox"], &bytes, "import busybox: reading ", 80);
    assert_drawn(&drawn, 80);
    assert!(drawn.stdout.starts_with("sha256:") && drawn.stdout.lines().count() == 1, "{drawn:?}");
    let saved = brig.directory().join("saved.tar");
    brig.ok(&["save", "-o", saved.to_str().unwrap(), "busybox"]);
    let drawn = slowly(brig, &["load"], &fs::read(saved).unwrap(), "load: reading ", 24);
    assert_drawn(&drawn, 24);
    assert_eq!(drawn.stdout, "Loaded image: busybox:latest\n");
});

story!(volume_import_shows_how_far_it_is, [root, user], |brig| {
    brig.ok(&["volume", "create", "data"]);
    let arguments = ["volume", "import", "data", "-"];
    let drawn = slowly(brig, &arguments, &archive(brig), "volume import data: unpacking ", 80);
    assert_drawn(&drawn, 80);
    assert_eq!(drawn.stdout, "");
});

story!(what_nobody_reads_is_written_slowly_and_shown, [root, user], |brig| {
    brig.import_busybox();
    // a pipe that is not read fills: the command waits, and says so
    brig.ok(&["create", "--name", "box", "busybox", "true"]);
    for (arguments, step) in [
        (&["save", "busybox"][..], "save: writing "),
        (&["export", "box"], "export box: writing "),
        (&["cp", "box:/", "-"], "cp: copying"),
    ] {
        let mut drawing = Drawing::start(&mut brig.command(arguments), 80);
        drawing.until(step);
        let drawn = drawing.finish();
        assert!(drawn.stdout.len() > 1 << 20, "{arguments:?}");
        assert!(drawn.terminal.contains("B/s"), "{drawn:?}");
        let left = drawn.terminal.rsplit(ERASE).next().unwrap();
        assert!(left.is_empty() || left.starts_with("Successfully copied "), "{arguments:?}: {left:?}");
    }
});

story!(nothing_is_drawn_where_it_is_not_wanted, [root, user], |brig| {
    let bytes = archive(brig);
    for (arguments, variable) in [
        (&["import", "-q", "-", "quiet"][..], ("TERM", "xterm")),
        (&["import", "-", "dumb"], ("TERM", "dumb")),
        (&["--log-format", "json", "import", "-", "json"], ("TERM", "xterm")),
    ] {
        let drawn = for_long(brig, arguments, variable, &bytes);
        assert_eq!((drawn.code, drawn.terminal.as_str()), (Some(0), ""), "{arguments:?}");
    }
    // short work
    let file = testkit::busybox_tar(brig.directory());
    let drawn = Drawing::start(&mut brig.command(&["volume", "create", "short"]), 80).finish();
    assert_eq!((drawn.code, drawn.terminal.as_str()), (Some(0), ""));
    // no terminal
    let outcome = brig.run(&["import", file.to_str().unwrap(), "plain"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
});

story!(an_error_comes_on_a_clean_line, [root, user], |brig| {
    let bytes = archive(brig);
    let drawn = slowly(brig, &["import", "-", "cut"], &bytes[..bytes.len() / 2], "import cut: ", 80);
    assert_eq!(drawn.code, Some(1), "{drawn:?}");
    assert!(drawn.terminal.contains(&format!("{ERASE}error: ")), "{drawn:?}");
});

story!(an_interrupt_leaves_a_clean_line_and_no_image, [root, user], |brig| {
    let bytes = archive(brig);
    let mut drawing = Drawing::start(&mut brig.command(&["import", "-", "half"]), 80);
    drawing.feed(&bytes[..bytes.len() / 2]);
    drawing.until("import half: ");
    kill_process(Pid::from_raw(drawing.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let drawn = drawing.finish();
    assert_ne!(drawn.code, Some(0), "{drawn:?}");
    assert!(drawn.terminal.ends_with(ERASE), "{drawn:?}");
    assert!(!brig.ok(&["images"]).contains("half"));
});

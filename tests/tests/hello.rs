//! The first thing that anybody types: `brig run --rm hello`.

use serde_json::Value;
use tests::story;

story!(hello_tells_what_is_open, [root, user, bare], |brig| {
    let seen = brig.ok(&["run", "--rm", "hello"]);
    for word in ["closed", "open", "seccomp", "no_new_privs"] {
        assert!(seen.contains(word), "no `{word}` in {seen}");
    }
});

story!(hello_speaks_json, [root, user, bare], |brig| {
    let seen = brig.ok(&["run", "--rm", "hello", "--json"]);
    let report: Value = serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
    assert!(report.is_object(), "{report}");
});

//! R21: a library of the image is loaded by the engine.

use std::fs;
use std::path::Path;
use std::process::Command;

use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::running::Running;
use tests::shape;
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "R21",
    title: "libraries of the image loaded by the engine",
    faults: &["CVE-2019-14271"],
    kinds: &[Kind::Static, Kind::Shape],
    defence: "a static program without NSS, iconv or dlopen; idmap/src/account.rs parses accounts",
};

/// Puts a library into the root that leaves `/loaded` there when it is loaded, wherever glibc would look for it.
fn poison(root: &Path, directory: &Path) {
    let (source, library) = (directory.join("evil.c"), directory.join("libnss_evil.so.2"));
    let code = "#include <fcntl.h>\n__attribute__((constructor)) static void ran(void)\n\
                { open(\"/loaded\", O_CREAT | O_WRONLY, 0644); }\n";
    fs::write(&source, code).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(compiler.status().unwrap().success());
    for place in ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib", "lib"] {
        fs::create_dir_all(root.join(place)).unwrap();
        for name in ["libnss_evil.so.2", "libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1"] {
            fs::copy(&library, root.join(place).join(name)).unwrap();
        }
    }
    let libc = "/lib/x86_64-linux-gnu/libc.so.6";
    if Path::new(libc).exists() {
        fs::copy(libc, root.join(&libc[1..])).unwrap();
    }
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/nsswitch.conf"), "passwd: evil files\ngroup: evil files\nhosts: evil dns\n")
        .unwrap();
    fs::write(root.join("etc/ld.so.preload"), "/lib/x86_64-linux-gnu/libnss_evil.so.2\n").unwrap();
}

fn image(brig: &Brig) {
    let directory = brig.directory().join("library");
    fs::create_dir(&directory).unwrap();
    attack::image(brig, "poisoned", &[], |root| poison(root, &directory));
}

held!(nothing_is_loaded, [root, user] needs [c_compiler()], |brig| {
    image(brig);
    // busybox is static: nothing of the image's loads it.
    for flags in [&["-u", "user"][..], &["--init"], &["--group-add", "nogroup", "--hostname", "evil"]] {
        let words = [&["run", "--rm"], flags, &["poisoned", "ls", "/loaded"]].concat();
        let outcome = brig.run(&words);
        assert!(outcome.code != 0 && !outcome.stdout.contains("loaded"), "{flags:?}: {outcome}");
    }
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    let directory = brig.directory().join("for-exec");
    fs::create_dir(&directory).unwrap();
    poison(&bundle.rootfs(), &directory);
    brig.start("brig-test-running", &bundle);
    let user = if brig.is_root() { "1000" } else { "0" };
    brig.runtime_ok(&["exec", "--user", user, "brig-test-running", "true"]);
    brig.runtime_ok(&["delete", "--force", "brig-test-running"]);
    assert!(!bundle.rootfs().join("loaded").exists());
});

held!(no_library_is_opened, [root] needs [c_compiler(), program("strace")], |brig| {
    image(brig);
    let command = brig.command(&["run", "--rm", "--network", "none", "-u", "user", "poisoned", "true"]);
    let (outcome, trace) = shape::trace(&command, brig.program(), brig.directory());
    outcome.success();
    assert!(trace.calls().len() > 50, "the trace shows nothing");
    let opens = |call: &&shape::Call| call.name.starts_with("open") && [".so.", ".so\""].iter().any(|end| call.line().contains(end));
    let libraries: Vec<_> = trace.calls().iter().filter(opens).map(shape::Call::line).collect();
    assert_eq!(libraries, Vec::<String>::new());
    let programs: Vec<_> = trace.executions().iter().map(|name| name.replace("(deleted)", "")).collect();
    assert_eq!(programs, ["/memfd:brig-exec", "/bin/true"]);
});

held!(a_copy_loads_nothing, [root] needs [c_compiler(), program("strace")], |brig| {
    image(brig);
    let running = Running::of(brig, "poisoned", &[], "poisoned", "");
    let out = brig.directory().join("out");
    for arguments in [
        &["cp", "poisoned:/etc/passwd", out.to_str().unwrap()][..],
        &["cp", "-a", out.to_str().unwrap(), "poisoned:/copied"],
        &["export", "-o", out.to_str().unwrap(), "poisoned"],
        &["diff", "poisoned"],
    ] {
        let (outcome, trace) = shape::trace(&brig.command(arguments), brig.program(), brig.directory());
        outcome.success();
        assert!(trace.calls().len() > 50, "the trace shows nothing");
        // `export` reads the libraries, as any other file: below the root, by a descriptor, and never as code.
        let maps = |call: &&shape::Call| call.name == "mmap" && call.line().contains("PROT_EXEC");
        let code: Vec<_> = trace.calls().iter().filter(maps).map(shape::Call::line).collect();
        assert_eq!(code, Vec::<String>::new(), "{arguments:?}");
        let executed: Vec<_> = trace.executions().iter().map(|name| name.to_string()).collect();
        assert_eq!(executed.len(), 0, "{arguments:?}: {executed:?}");
    }
    assert_ne!(brig.run(&["cp", "poisoned:/loaded", "-"]).code, 0);
    drop(running);
});

control!(
    a_lookup_after_chroot,
    Target::Unconfined("a dynamic program that calls getpwnam(3) after chroot(2)"),
    [root] needs [c_compiler(), program("perl")],
    |brig| {
        let (root, directory) = (brig.directory().join("root"), brig.directory().join("library"));
        testkit::busybox_rootfs(&root);
        fs::create_dir(&directory).unwrap();
        poison(&root, &directory);
        let mut perl = Command::new("perl");
        perl.args(["-e", "chroot shift or die; my @account = getpwnam('user')"]).arg(&root);
        assert!(perl.status().unwrap().success());
        root.join("loaded").exists()
    }
);

//! Languages that compile, and the package managers of two.

use crate::check::{Check, Way};
use crate::person::Who;

/// The image with all of them.
const COMPILERS: &str = "compilers";

pub(super) const CHECKS: &[Check] = &[
    Check::new("java: javac, threads", COMPILERS, JAVA),
    Check::new("java: heap obeys --memory 512m", COMPILERS, HEAP)
        .flags(&["--memory", "512m"])
        .except(&[(Who::Rootless, "needs a cgroup"), (Who::OneId, "needs a cgroup")]),
    Check::new("go: cgo, goroutines, net/http", COMPILERS, GO),
    Check::new("rust: cargo run, cargo test", COMPILERS, RUST),
    Check::new("npm install", COMPILERS, NPM).way(Way::Registry),
    Check::new("pip install in a venv, C extension", COMPILERS, PIP).way(Way::Registry),
];

const JAVA: &str = r#"
cd /tmp && cat >Lab.java <<'END'
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
public class Lab {
    public static void main(String[] words) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Integer>> parts = new ArrayList<>();
        for (int i = 0; i < 64; i++) { int n = i; parts.add(pool.submit(() -> IntStream.range(0, n).sum())); }
        int sum = 0;
        for (Future<Integer> part : parts) sum += part.get();
        pool.shutdown();
        if (sum != 41664) System.exit(1);
    }
}
END
javac Lab.java && java Lab
"#;

/// A quarter of the limit, unless told otherwise.
const HEAP: &str = r#"
cd /tmp && cat >Heap.java <<'END'
public class Heap {
    public static void main(String[] words) {
        long mebibytes = Runtime.getRuntime().maxMemory() >> 20;
        System.out.println("heap of at most " + mebibytes + " MiB");
        System.exit(mebibytes <= 128 ? 0 : 1);
    }
}
END
java Heap.java
"#;

const GO: &str = r#"
mkdir /tmp/lab && cd /tmp/lab && export HOME=/tmp GOPATH=/tmp/go && cat >main.go <<'END'
package main

// #include <unistd.h>
import "C"
import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"sync"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil { panic(err) }
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	var group sync.WaitGroup
	var seen int64
	for i := 0; i < 40; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			answer, err := http.Get("http://" + listener.Addr().String())
			if err != nil { panic(err) }
			body, _ := io.ReadAll(answer.Body)
			atomic.AddInt64(&seen, int64(len(body)))
		}()
	}
	group.Wait()
	word, err := exec.Command("echo", "ok").Output()
	if err != nil || seen != 40 || string(word) != "ok\n" || int(C.getpid()) != os.Getpid() { os.Exit(1) }
}
END
go mod init lab 2>/dev/null && go vet . && go build -o lab . && ./lab
"#;

const RUST: &str = r#"
cd /tmp && export HOME=/tmp && cargo new -q --vcs none lab && cd lab && cat >src/main.rs <<'END'
use std::{sync::mpsc, thread};
fn main() {
    let (send, receive) = mpsc::channel();
    for n in 0..8 {
        let send = send.clone();
        thread::spawn(move || send.send(n));
    }
    drop(send);
    println!("{}", receive.iter().sum::<i32>());
}
#[test]
fn adds() {
    assert_eq!(40 + 2, 42);
}
END
test "$(cargo run -q --offline)" = 28 && cargo test -q --offline | grep -q '1 passed'
"#;

const NPM: &str = r#"
mkdir /tmp/lab && cd /tmp/lab && export HOME=/tmp && npm init -y >/dev/null &&
npm install --no-audit --no-fund is-odd && node -e 'process.exit(require("is-odd")(3) ? 0 : 1)'
"#;

const PIP: &str = r#"
cd /tmp && export HOME=/tmp && python3 -m venv venv &&
venv/bin/pip install -q --no-binary markupsafe markupsafe && venv/bin/python -c 'import markupsafe._speedups'
"#;

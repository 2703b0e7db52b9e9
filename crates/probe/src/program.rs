use std::ffi::OsString;
use std::io::{self, Write};

use crate::{Report, call, file, identity, limit, mount, namespace, network, read};

/// Exit code of a wrong command line, as docker's.
const USAGE: u8 = 125;

const HELP: &str = "\
usage: hello [--json]

Shows what a process here can see and do: each door that was tried is closed or open.

  --json   print every row as JSON
  --help   print this text
";

/// Looks at everything once.
#[must_use]
pub fn report() -> Report {
    let mut report = Report { rows: Vec::with_capacity(256) };
    // First, so that no descriptor of ours is taken for an inherited one.
    let mounts = read::text("/proc/self/mountinfo").unwrap_or_default();
    let mut files = Report::default();
    file::rows(&mut files, &mounts);
    identity::rows(&mut report);
    namespace::rows(&mut report);
    call::rows(&mut report);
    mount::rows(&mut report, &mounts);
    report.rows.append(&mut files.rows);
    limit::rows(&mut report, &mounts);
    network::rows(&mut report);
    report
}

/// The program `hello`: `arguments` are those after its name. Returns the exit code.
///
/// A reader that goes away early is no failure.
pub fn main(arguments: &[OsString]) -> u8 {
    let mut output = io::stdout().lock();
    let result = match arguments {
        [] => report().render_text(&mut output),
        [flag] if flag == "--json" => {
            let json = report().to_json();
            serde_json::to_writer_pretty(&mut output, &json)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(output))
        }
        [flag] if flag == "--help" || flag == "-h" => output.write_all(HELP.as_bytes()),
        [other, ..] => {
            let message = format!("hello: unknown argument `{}`: see `hello --help`\n", other.display());
            // Where standard error is closed there is nobody to tell.
            io::stderr().write_all(message.as_bytes()).ok();
            return USAGE;
        }
    };
    match result.and_then(|()| output.flush()) {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => 1,
    }
}

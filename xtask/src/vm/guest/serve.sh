#!/bin/sh
# A logged-in person's shell: runs what it reads, one line each, as `MARK SECONDS COMMAND...`, and answers the output
# between `MARK begin` and `MARK exit CODE`. Without systemd the runtime directory is there but named by nobody.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$1}"
export PATH="$PATH:/build/bin"
echo "READY $1"
while read -r mark seconds command; do
	echo "$mark begin"
	timeout -k 5 "$seconds" sh -c "$command" </dev/null 2>&1
	echo "$mark exit $?"
done

#!/usr/bin/env python3
"""Writes ../src/table/<arch>.rs from the kernel's public call numbers.

Source: the `linux-raw-sys` crate (bindings generated from the kernel's UAPI headers; the version is
read from them), as cargo unpacked it. Two additions are not in those headers as __NR_ macros:
  * calls newer than the headers, which have one number on every architecture (list NEWER below);
  * ARM's private calls (arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE 0x0f0000).

usage: generate.py PATH-TO/linux-raw-sys-VERSION
"""
import datetime
import pathlib
import re
import sys

ARCHES = ["x86_64", "x86", "x32", "aarch64", "arm", "riscv64"]
X32_BIT = 0x40000000
NEWER = {"listns": 470}  # Linux 6.19
ARM_PRIVATE = {name: 0xF0001 + i for i, name in enumerate(
    ["breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"])}


def main() -> None:
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parent.parent / "src" / "table"
    today = datetime.date.today().isoformat()
    for arch in ARCHES:
        text = (source / "src" / arch / "general.rs").read_text()
        pick = lambda name: int(re.search(rf"LINUX_VERSION_{name}: u32 = (\d+);", text)[1])
        version = f"{pick('MAJOR')}.{pick('PATCHLEVEL')}"
        calls = {n: int(v) for n, v in re.findall(r"pub const __NR_(\w+): u32 = (\d+);", text)}
        calls = {n: v for n, v in calls.items() if not n.startswith(("OABI_", "SYSCALL_"))}
        bit = X32_BIT if arch == "x32" else 0
        calls |= {n: v | bit for n, v in NEWER.items() if n not in calls}
        if arch == "arm":
            calls |= ARM_PRIVATE
        rows = "".join(f'    ("{n}", {v}),\n' for n, v in sorted(calls.items()))
        newer = ", ".join(f"`{n}`" for n in NEWER)
        (target / f"{arch}.rs").write_text(
            f"//! Call numbers of {arch}: Linux {version} headers (and {newer}), written {today} by\n"
            "//! `tables/generate.py`; do not edit. Sorted by name.\n\n"
            f"pub(super) const CALLS: &[(&str, u32)] = &[\n{rows}];\n")
        print(arch, len(calls))


main()

//! Examples for `--help`, of commands that bring none in their own file.

/// Command and what a person types.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("attach", &["brig attach web", "brig attach --detach-keys ctrl-x web"]),
    ("create", &["brig create --name job debian:12 make -C /src", "brig start -a job"]),
    ("doctor", &["brig doctor", "brig doctor --json"]),
    ("healthcheck", &["brig healthcheck run web"]),
    (
        "import",
        &["brig import rootfs.tar.gz base:1", "tar -C DIR -c . | brig import -c 'CMD [\"bash\"]' - base"],
    ),
    ("info", &["brig info", "brig info -f '{{.CgroupVersion}} {{.SecurityOptions}}'"]),
    ("kill", &["brig kill web", "brig kill -s HUP web"]),
    ("load", &["brig load -i image.tar", "zcat image.tar.gz | brig load"]),
    ("pause", &["brig pause web"]),
    ("rename", &["brig rename old new"]),
    ("restart", &["brig restart web", "brig restart -t 30 web db"]),
    ("rm", &["brig rm job", "brig rm -f $(brig ps -aq --filter label=test)"]),
    ("rmi", &["brig rmi debian:11", "brig rmi $(brig images -q --filter dangling=true)"]),
    (
        "run",
        &[
            "brig run --rm -it debian:12 bash",
            "brig run -d --name web --restart always -v data:/data shop:3",
            "brig run --rm --read-only --cap-drop ALL -m 256m tool:1 --version",
            "brig run --profile strict --dry-run debian:12",
        ],
    ),
    ("start", &["brig start web", "brig start -a job"]),
    ("stop", &["brig stop web", "brig stop -t 30 web db"]),
    ("tag", &["brig tag shop:3 registry.example.org/shop:3"]),
    ("unpause", &["brig unpause web"]),
    ("version", &["brig version", "brig version -f '{{.Client.Version}}'"]),
    ("wait", &["brig wait job"]),
];

/// The examples of `brig COMMAND`, as help prints them.
pub(super) fn of(name: &str) -> Option<String> {
    let name = name.strip_prefix("brig ")?;
    let (_, lines) = EXAMPLES.iter().find(|(known, _)| *known == name)?;
    Some(format!("Examples:\n  {}", lines.join("\n  ")))
}

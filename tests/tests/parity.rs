//! Scripts written for docker: what they type, how it ends, and the shape of what they read.
//!
//! Each line is one invocation after docker's public command line reference: words, exit code, what standard output has (`=`
//! for nothing at all, `-` for anything), what standard error has. All share three containers: `web` runs, `done` ended with
//! 3, `made` was never started.

use tests::{Brig, story};

const SEPARATOR: &str = " | ";

/// Listing, filters, formats.
const LISTS: &str = r#"
ps | 0 | CONTAINER ID   IMAGE     COMMAND
ps | 0 | NAMES
ps -a | 0 | Exited (3)
ps --all | 0 | Created
ps -aq | 0 | $WEB12
ps -q | 0 | $WEB12
ps -q --no-trunc | 0 | $WEB
ps -qa --no-trunc | 0 | $WEB
ps -l | 0 | made
ps --latest -q | 0 | -
ps -n 1 | 0 | made
ps --last 2 -q | 0 | -
ps -n 0 -q | 0 | =
ps -s | 0 | (virtual
ps -as | 0 | SIZE
ps --no-trunc | 0 | $WEB
ps --noheading -a | 0 | done
ps --filter name=web | 0 | web
ps -f name=^web$ | 0 | web
ps -f name=^/web$ -q | 0 | $WEB12
ps -aqf name=nothing | 0 | =
ps -f id=$WEB12 | 0 | web
ps -f label=app | 0 | web
ps -f label=app=shop | 0 | web
ps -qf label=app=other | 0 | =
ps -aqf label!=app | 0 | -
ps -af exited=3 | 0 | done
ps -aqf exited=4 | 0 | =
ps -f status=running | 0 | web
ps -f status=exited | 0 | done
ps -f status=created | 0 | made
ps -f status=exited -f status=created | 0 | made
ps -qf status=paused | 0 | =
ps -f status=nonsense | 1 | = | invalid filter 'status=nonsense'
ps -f nonsense=1 | 1 | = | invalid filter 'nonsense'
ps -f nonsense | 125 | = | bad format of filter
ps -f ancestor=busybox | 0 | web
ps -f ancestor=$IMG12 | 0 | web
ps -qf ancestor=other | 0 | =
ps -af before=done --format {{.Names}} | 0 | web
ps -af since=done --format {{.Names}} | 0 | made
ps -af since=nosuch | 1 | = | no such container: nosuch
ps -qf volume=nosuch | 0 | =
ps -qf network=nosuch | 0 | =
ps -qf publish=80 | 0 | =
ps -qf expose=80 | 0 | =
ps -qf health=healthy | 0 | =
ps -f health=none | 0 | web
ps -f health=odd | 1 | = | invalid filter
ps -f is-task=false | 0 | web
ps -qf is-task=true | 0 | =
ps --format json | 0 | "Names":"web"
ps --format {{.Names}} | 0 | web
ps --format {{.ID}} | 0 | $WEB12
ps --format {{.Image}}:{{.State}} | 0 | busybox:running
ps --format {{.Command}} | 0 | "sh -c
ps --format {{.Status}} | 0 | Up
ps --format {{.RunningFor}} | 0 | ago
ps --format {{.CreatedAt}} | 0 | +0000 UTC
ps --format {{.Labels}} | 0 | app=shop
ps --format {{.Mounts}}{{.LocalVolumes}} | 0 | 0
ps --format {{.Networks}} | 0 | none
ps --format {{.Size}} | 0 | virtual
ps --format {{.Nope}} | 1 | = | template parsing error: template: :1:2: executing "" at <.Nope>
ps --format {{.ID | 1 | = | template parsing error: template: :1: unclosed action
ps --format {{nope}} | 1 | = | function "nope" not defined
ps --format '{{.Label "app"}}' | 0 | shop
ps --format '{{json .}}' | 0 | "State":"running"
ps --format '{{json .Names}}' | 0 | "web"
ps --format '{{upper .Names}}' | 0 | WEB
ps --format '{{if eq .State "running"}}up{{end}}' | 0 | up
ps --format 'table {{.Names}}\t{{.Image}}' | 0 | NAMES     IMAGE
ps --format table | 0 | CONTAINER ID
ps --sort names -a | 0 | done
ps --sort nonsense | 125 | = | --sort
ps --nope | 125 | = | --nope
ps extra | 125 | = | extra
container ls | 0 | web
container ls -a | 0 | made
container ls -aq | 0 | $WEB12
container list -q | 0 | $WEB12
container ps | 0 | web
images | 0 | REPOSITORY   TAG       IMAGE ID
images -q | 0 | $IMG12
images -q --no-trunc | 0 | $IMG
images --no-trunc | 0 | sha256:
images --digests | 0 | DIGEST
images --tree | 0 | DISK USAGE
images --tree -n | 0 | └─ linux/amd64
images -a | 0 | busybox
images busybox | 0 | latest
images busybox:latest | 0 | busybox
images -q nosuch | 0 | =
images b*x | 0 | busybox
images -f dangling=false | 0 | busybox
images -qf dangling=true | 0 | =
images -qf reference=nosuch | 0 | =
images -f reference=busy* | 0 | busybox
images -qf label=nosuch | 0 | =
images -f before=nosuch | 1 | = | nosuch
images -qf since=busybox | 0 | =
images -f nonsense=1 | 1 | = | invalid filter 'nonsense'
images --format json | 0 | "Repository":"busybox"
images --format {{.Repository}}:{{.Tag}} | 0 | busybox:latest
images --format {{.ID}} | 0 | $IMG12
images --format {{.Size}} | 0 | MB
images --format {{.CreatedSince}} | 0 | ago
images --format 'table {{.ID}}\t{{.Tag}}' | 0 | IMAGE ID
images --format {{.Nope}} | 1 | = | template parsing error
images --nope | 125 | = | --nope
image ls | 0 | busybox
image list -q | 0 | $IMG12
image ls --format {{.Tag}} | 0 | latest
"#;

/// Inspecting.
const INSPECT: &str = r#"
inspect web | 0 | "Id": "$WEB"
inspect $WEB | 0 | "Name": "/web"
inspect $WEB12 | 0 | "Name": "/web"
inspect busybox | 0 | "RepoTags"
inspect web done | 0 | "/done"
inspect nosuch | 1 | [] | no such object: nosuch
inspect web nosuch | 1 | "/web" | no such object: nosuch
inspect --type container web | 0 | "HostConfig"
inspect --type image busybox | 0 | "RootFS"
inspect --type container busybox | 1 | [] | no such container: busybox
inspect --type image web | 1 | [] | no such image: web
inspect --type nonsense web | 125 | = | nonsense
inspect -s web | 0 | "SizeRw"
inspect --size web | 0 | "SizeRootFs"
inspect | 125 | = | NAME
inspect -f {{.State.Status}} web | 0 | running
inspect -f {{.State.Running}} web | 0 | true
inspect -f {{.State.ExitCode}} done | 0 | 3
inspect -f {{.State.Status}} made | 0 | created
inspect -f {{.State.StartedAt}} made | 0 | 0001-01-01T00:00:00Z
inspect -f {{.State.Pid}} done | 0 | 0
inspect -f {{.Name}} web | 0 | /web
inspect -f {{.Id}} web | 0 | $WEB
inspect -f {{.Image}} web | 0 | $IMG
inspect -f {{.Path}} web | 0 | sh
inspect -f '{{index .Args 0}}' web | 0 | -c
inspect -f {{.Config.Image}} web | 0 | busybox
inspect -f {{.Config.Tty}} web | 0 | false
inspect -f {{.Config.Entrypoint}} web | 0 | []
inspect -f {{.Config.Labels.app}} web | 0 | shop
inspect -f '{{index .Config.Labels "app"}}' web | 0 | shop
inspect -f '{{json .Config.Env}}' web | 0 | "A=1"
inspect -f '{{range .Config.Env}}{{println .}}{{end}}' web | 0 | A=1
inspect -f '{{join .Config.Cmd ","}}' web | 0 | sh,-c
inspect -f {{.HostConfig.NetworkMode}} web | 0 | none
inspect -f {{.HostConfig.RestartPolicy.Name}} web | 0 | no
inspect -f {{.HostConfig.Memory}} made | 0 | 67108864
inspect -f {{.HostConfig.AutoRemove}} web | 0 | false
inspect -f {{.HostConfig.Privileged}} web | 0 | false
inspect -f {{.HostConfig.CapAdd}} web | 0 | []
inspect -f {{.HostConfig.LogConfig.Type}} web | 0 | json-file
inspect -f {{.HostConfig.ReadonlyRootfs}} made | 0 | true
inspect -f {{.NetworkSettings.IPAddress}} web | 0 | -
inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}' web | 0 | none
inspect -f '{{json .NetworkSettings.Ports}}' web | 0 | {}
inspect -f '{{json .Mounts}}' web | 0 | []
inspect -f '{{len .Mounts}}' web | 0 | 0
inspect -f {{.RestartCount}} web | 0 | 0
inspect -f {{.Driver}} web | 0 | overlay
inspect -f {{.LogPath}} web | 0 | container.log
inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' web | 0 | none
inspect -f '{{json .Brig.Weakenings}}' web | 0 | []
inspect -f {{.Nope}} web | 1 | = | map has no entry for key "Nope"
inspect -f json web | 0 | "Id":"$WEB"
inspect --format={{.Name}} web | 0 | /web
container inspect web | 0 | "/web"
container inspect busybox | 1 | [] | no such container: busybox
container inspect -f {{.State.Status}} web | 0 | running
image inspect busybox | 0 | "Architecture"
image inspect $IMG12 | 0 | busybox:latest
image inspect -f {{.Id}} busybox | 0 | $IMG
image inspect -f {{.Os}} busybox | 0 | linux
image inspect -f {{.RepoTags}} busybox | 0 | [busybox:latest]
image inspect -f '{{index .RepoTags 0}}' busybox | 0 | busybox:latest
image inspect -f {{.Config.Cmd}} busybox | 0 | []
image inspect -f '{{len .RootFS.Layers}}' busybox | 0 | 1
image inspect -f {{.RootFS.Type}} busybox | 0 | layers
image inspect nosuch | 1 | [] | no such image: nosuch
version | 0 | brig
version -f {{.Client.Version}} | 0 | .
version --format {{.Server.Version}} | 0 | .
version --format json | 0 | "Client"
version -f {{.Nope}} | 1 | = | template parsing error
info | 0 | containers
info -f {{.Containers}} | 0 | 3
info -f {{.ContainersRunning}} | 0 | 1
info -f {{.ContainersStopped}} | 0 | 2
info -f {{.Images}} | 0 | 1
info -f {{.Driver}} | 0 | overlay
info -f {{.CgroupVersion}} | 0 | -
info -f {{.SecurityOptions}} | 0 | seccomp
info -f {{.OSType}} | 0 | linux
info --format '{{json .Warnings}}' | 0 | null
system info -f {{.Driver}} | 0 | overlay
"#;

/// What changes nothing that later lines look at.
const ACTS: &str = r#"
run --rm --network none busybox true | 0 | =
run --rm --network none busybox false | 1 | =
run --rm --network none busybox sh -c 'exit 42' | 42 | =
run --rm --network none busybox nosuchprogram | 127 | = | nosuchprogram
run --rm --network none busybox /bin | 126 | = | /bin
run --rm --network none nosuchimage | 125 | = | nosuchimage
run --nope busybox | 125 | = | --nope
run | 125 | = | IMAGE
run --rm --network none -e A=5 busybox sh -c 'echo $A' | 0 | 5
run --rm --network none --env A=6 busybox sh -c 'echo $A' | 0 | 6
run --rm --network none -w /tmp busybox pwd | 0 | /tmp
run --rm --network none -h box busybox hostname | 0 | box
run --rm --network none --entrypoint echo busybox hi | 0 | hi
run --rm --network none -u 0:0 busybox id -u | 0 | 0
run --rm --network none --read-only busybox sh -c 'echo > /x' | 1 | =
run --rm --network none --tmpfs /t busybox sh -c 'echo a > /t/a' | 0 | =
run --rm --network none --init busybox true | 0 | =
run --rm --network none --cap-drop ALL busybox true | 0 | =
run --rm --network none --security-opt no-new-privileges busybox true | 0 | =
run --rm --network none --ulimit nofile=64:64 busybox sh -c 'ulimit -n' | 0 | 64
run --rm --network none --shm-size 1m busybox true | 0 | =
run --rm --network none --add-host db:10.0.0.1 busybox cat /etc/hosts | 0 | 10.0.0.1
run --rm --network none --dns 9.9.9.9 busybox cat /etc/resolv.conf | 0 | 9.9.9.9
run --rm --network none -l a=b --label c busybox true | 0 | =
run --rm --network none --name web busybox true | 125 | = | web
run --rm --network none --pull never busybox true | 0 | =
run --rm --network none --gpus all busybox true | 125 | = | --device
run --rm --network none -v /etc:/mnt busybox true | 125 | = | --allow-host-path
exec web echo hi | 0 | hi
exec web sh -c 'exit 5' | 5 | =
exec -e B=2 web sh -c 'echo $B' | 0 | 2
exec -w /tmp web pwd | 0 | /tmp
exec -w /nosuch web pwd | 127 | = | directory
rm -f nosuch | 0 | = | nosuch
rm -f -t 0 nosuch | 0 | = | nosuch
run --rm --network none -p 8099:80 busybox true | 0 | =
inspect -f '{{.State.Health}} {{.Config.Healthcheck}}' web | 0 | <nil> <nil>
inspect -f '{{json .State.Health}}' web | 0 | null
inspect -f '{{.State.Health.Status}}' web | 1 | = | nil pointer
exec web nosuchprogram | 127 | = | nosuchprogram
exec nosuch true | 1 | = | nosuch
exec done true | 1 | = | -
exec web | 125 | = | -
container exec web echo hi | 0 | hi
logs web | 0 | hello
logs --tail 1 web | 0 | hello
logs -n 0 web | 0 | =
logs -t web | 0 | T
logs nosuch | 1 | = | nosuch
container logs web | 0 | hello
top web | 0 | PID
top nosuch | 1 | = | nosuch
port web | 0 | =
port nosuch | 1 | = | nosuch
diff web | 0 | -
diff nosuch | 1 | = | nosuch
wait done | 0 | 3
wait nosuch | 1 | = | nosuch
start nosuch | 1 | = | nosuch
start web | 0 | web
stop nosuch | 1 | = | nosuch
stop done | 0 | done
kill nosuch | 1 | = | nosuch
kill done | 1 | = | -
kill -s NONSENSE web | 1 | = | NONSENSE
kill -s CONT web | 0 | web
restart nosuch | 1 | = | nosuch
pause nosuch | 1 | = | nosuch
unpause web | 1 | = | -
rename nosuch other | 1 | = | nosuch
rename done made | 1 | = | made
rename done over | 0 | =
rename over done | 0 | =
update -m 128m made | 0 | made
update nosuch -m 64m | 1 | = | nosuch
stats --no-stream web | 0 | CPU %
cp nosuch:/x /tmp/nosuch | 1 | = | nosuch
rm nosuch | 1 | = | nosuch
rm web | 1 | = | is running
rmi nosuch | 1 | = | nosuch
rmi busybox | 1 | = | -
tag busybox other:1 | 0 | =
tag nosuch other:2 | 1 | = | nosuch
image tag busybox other:2 | 0 | =
rmi other:1 | 0 | Untagged: other:1
image rm other:2 | 0 | Untagged: other:2
save nosuch | 1 | = | -
load -i /no/such/file | 1 | = | /no/such/file
volume create v1 | 0 | v1
volume ls | 0 | DRIVER    VOLUME NAME
volume ls -q | 0 | v1
volume inspect v1 | 0 | "Mountpoint"
volume inspect -f {{.Name}} v1 | 0 | v1
volume inspect nosuch | 1 | [] | nosuch
volume rm nosuch | 1 | = | nosuch
volume rm v1 | 0 | v1
container --help | 0 | Commands:
image --help | 0 | Commands:
volume --help | 0 | Commands:
system --help | 0 | Commands:
container nosuch | 1 | = | nosuch
image nosuch | 1 | = | nosuch
nosuch | 1 | = | nosuch
--help | 0 | Commands:
help | 0 | Commands:
help run | 0 | Usage: brig run
help volume create | 0 | Usage: brig volume create
run --help | 0 | Examples:
ps --help | 0 | Examples:
--version | 0 | brig version
-v | 0 | brig version
completion bash | 0 | complete
completion zsh | 0 | compdef
completion fish | 0 | complete -c brig
completion tcsh | 1 | = | tcsh
__complete container inspect w | 0 | web
__complete ps --no | 0 | --no-trunc
__complete sto | 0 | stop
"#;

/// Freezing needs a cgroup, which a user of a machine without systemd has none of: root's.
const FREEZES: &str = r#"
pause web | 0 | web
ps -f status=paused | 0 | (Paused)
inspect -f {{.State.Paused}} web | 0 | true
unpause web | 0 | web
"#;

/// Words of a line; single quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            other => {
                word.push(other);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

/// What one line got wrong.
fn check(brig: &Brig, line: &str) -> Option<String> {
    let mut parts = line.split(SEPARATOR);
    let typed = words(parts.next()?);
    let code: i32 = parts.next()?.trim().parse().ok()?;
    let (out, err) = (parts.next().unwrap_or("-"), parts.next().unwrap_or("-"));
    let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
    let outcome = brig.run(&typed);
    let fits = |pattern: &str, text: &str| match pattern {
        "-" => true,
        "=" => text.is_empty(),
        pattern => text.contains(pattern),
    };
    let good = outcome.code == code && fits(out, &outcome.stdout) && fits(err, &outcome.stderr);
    (!good).then(|| format!("{line}\n{outcome}"))
}

story!(scripts_of_docker_do_not_notice, [root, user], |brig| {
    brig.import_busybox();
    let ready = "echo hello; touch /tmp/ready 2>/dev/null; exec sleep 1000";
    let flags = ["-d", "--name", "web", "-l", "app=shop", "-e", "A=1", "--network", "none"];
    let web = brig.ok(&[&["run"], &flags[..], &["busybox", "sh", "-c", ready]].concat()).trim().to_owned();
    let run = ["run", "--name", "done", "--network", "none", "busybox", "sh", "-c", "exit 3"];
    brig.run(&run).fails_with(3);
    let create =
        ["create", "--name", "made", "--network", "none", "-m", "64m", "--read-only", "busybox", "true"];
    brig.ok(&create);
    let image = brig.ok(&["images", "-q", "--no-trunc"]).trim().to_owned();
    let short = |id: &str| id.trim_start_matches("sha256:")[..12].to_owned();

    let mut faults = Vec::new();
    let mut count = 0;
    let freezes = if brig.is_root() { FREEZES } else { "" };
    for line in
        [LISTS, INSPECT, freezes, ACTS].iter().flat_map(|table| table.lines()).filter(|line| !line.is_empty())
    {
        let line = line
            .replace("$WEB12", &short(&web))
            .replace("$IMG12", &short(&image))
            .replace("$WEB", &web)
            .replace("$IMG", &image);
        count += 1;
        faults.extend(check(brig, &line));
    }
    brig.ok(&["rm", "-f", "web", "done", "made"]);
    assert!(count >= 200, "{count} invocations");
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
});

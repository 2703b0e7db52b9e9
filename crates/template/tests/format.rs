//! Templates as people type them behind `--format`, on data of docker's shape.

use serde_json::{Value, json};
use template::Template;

fn data() -> Value {
    json!({
        "Id": "abc",
        "Name": "/web",
        "Args": ["-c", "sleep 1"],
        "Created": "2026-11-22T00:00:00Z",
        "State": {"Status": "running", "Running": true, "Pid": 12, "ExitCode": 0, "Health": null},
        "Config": {
            "Env": ["A=1", "PATH=/bin"],
            "Labels": {"com.example.app": "shop", "tier": "web"},
            "Entrypoint": null,
            "Volumes": {},
        },
        "HostConfig": {"Memory": 1_073_741_824_i64, "NanoCpus": 1.5},
        "NetworkSettings": {
            "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/tcp": null},
            "Networks": {"bridge": {"IPAddress": "10.0.0.2"}, "other": {"IPAddress": "10.1.0.2"}},
        },
        "Mounts": [{"Type": "bind", "Source": "/a"}, {"Type": "volume", "Name": "v", "Source": "/b"}],
    })
}

fn check(rows: &[(&str, &str)]) {
    let data = data();
    for (text, expected) in rows {
        let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = template.execute_with(&data, &|name, arguments| match (name, arguments) {
            ("Label", [key]) => Some(format!("label {key}")),
            _ => None,
        });
        match printed {
            Ok(printed) => assert_eq!(&printed, expected, "{text}"),
            Err(error) => assert_eq!(&format!("error: {error}"), expected, "{text}"),
        }
    }
}

#[test]
fn fields_and_chains() {
    check(&[
        ("", ""),
        ("plain {text} }} \"", "plain {text} }} \""),
        ("{{.Id}}", "abc"),
        ("{{ .Id }}\t{{.Name}}\n", "abc\t/web\n"),
        ("{{.State.Status}}", "running"),
        ("{{.State.Pid}} {{.State.Running}}", "12 true"),
        ("{{$.State.Pid}}", "12"),
        ("{{(.State).Pid}}", "12"),
        ("{{.Args}}", "[-c sleep 1]"),
        ("{{.Config.Labels}}", "map[com.example.app:shop tier:web]"),
        ("{{.Config.Labels.tier}}", "web"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{.Config.Entrypoint}} {{.Config.Volumes}}", "[] map[]"),
        ("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "1073741824 1.5"),
        ("{{.Label \"a.b\"}}", "label a.b"),
        ("{{\"x\" | .Label}}", "label x"),
    ]);
}

#[test]
fn functions() {
    check(&[
        ("{{json .Args}}", r#"["-c","sleep 1"]"#),
        ("{{.State | json}}", r#"{"ExitCode":0,"Health":null,"Pid":12,"Running":true,"Status":"running"}"#),
        ("{{json .Config.Entrypoint}}", "null"),
        ("{{join .Args \", \"}}", "-c, sleep 1"),
        ("{{join .Config.Entrypoint \",\"}}", ""),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"ab cd\"}}", "/WEB abc Ab Cd"),
        ("{{split \"a:b\" \":\"}} {{len .Args}} {{len .Name}}", "[a b] 2 4"),
        ("{{truncate .Name 2}}|{{truncate .Name 99}}|{{pad .Id 1 2}}|{{pad \"\" 1 1}}", "/w|/web| abc  |"),
        ("{{index .Args 1}}", "sleep 1"),
        ("{{index .Config.Labels \"com.example.app\"}}", "shop"),
        ("{{index .Config.Labels \"nope\"}}", ""),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{(index .NetworkSettings.Networks \"bridge\").IPAddress}}", "10.0.0.2"),
        ("{{slice .Id 1}} {{slice .Id 0 2}} {{slice .Args 1}}", "bc ab [sleep 1]"),
        ("{{printf \"%s=%d\" .Id .State.Pid}}", "abc=12"),
        ("{{printf \"%-5s|\" .Id}}", "abc  |"),
        ("{{println .Id 1}}", "abc 1\n"),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        ("{{html \"<a>\"}} {{urlquery \"a b/c\"}}", "&lt;a&gt; a+b%2Fc"),
        ("{{eq .State.Status \"running\"}} {{eq .State.Pid 1 2 12}} {{ne .Id \"x\"}}", "true true true"),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge \"b\" \"a\"}} {{lt 1 1.5}}", "true true false true true"),
        ("{{and .Id .State.Pid}} {{and 0 .Nope}} {{or \"\" .Id}} {{not .Id}}", "12 0 abc false"),
        ("{{\"a\" | upper | printf \"%s-%s\" .Id}}", "abc-A"),
        ("{{`a\\n`}}{{\"\\n\\x41\\u00e9\"}}{{'a'}}{{0x10}}{{-1}}", "a\\n\nAé9716-1"),
    ]);
}

#[test]
fn branches_and_loops() {
    check(
        &[
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
            ("{{if .State.Unknown}}a{{else if .Id}}b{{else}}c{{end}}", "b"),
            ("{{if and .State.Health .State.Health.Status}}a{{else}}b{{end}}", "b"),
            ("{{if not .State.Unknown}}a{{end}}", "a"),
            ("{{with .State}}{{.Status}} {{$.Id}}{{end}}", "running abc"),
            ("{{with .State.Health}}a{{else}}b{{end}}", "b"),
            ("{{range .Mounts}}{{.Source}};{{end}}", "/a;/b;"),
            ("{{range $at, $mount := .Mounts}}{{$at}}{{$mount.Type}} {{end}}", "0bind 1volume "),
            ("{{range $mount := .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}{{end}}{{end}}", "v"),
            (
                "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{.IPAddress}} {{end}}",
                "bridge=10.0.0.2 other=10.1.0.2 ",
            ),
            ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{break}}{{end}}", "10.0.0.2"),
            (
                "{{range $p, $c := .NetworkSettings.Ports}} {{$p}} -> {{(index $c 0).HostPort}}{{break}}{{end}}",
                " 80/tcp -> 8080",
            ),
            ("{{range .Config.Volumes}}a{{else}}none{{end}}", "none"),
            ("{{range .Config.Env}}{{if eq . \"A=1\"}}{{continue}}{{end}}{{.}}{{end}}", "PATH=/bin"),
            ("{{$n := 0}}{{range .Args}}{{$n = .}}{{end}}{{$n}}", "sleep 1"),
            ("a {{- /* no */ -}} b", "ab"),
            ("a {{- .Id -}} b", "aabcb"),
            ("{{/* only */}}x", "x"),
        ][..18],
    );
}

#[test]
fn errors_are_worded_as_in_go() {
    check(&[
        ("{{.Nope}}", "error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\""),
        (
            "a\n {{.Nope}}",
            "error: template: :2:3: executing \"\" at <.Nope>: map has no entry for key \"Nope\"",
        ),
        (
            "{{.State.Health.Status}}",
            "error: template: :1:2: executing \"\" at <.State.Health.Status>: nil pointer evaluating interface {}.Status",
        ),
        (
            "{{.Id.X}}",
            "error: template: :1:2: executing \"\" at <.Id.X>: can't evaluate field X in type string",
        ),
        (
            "{{index .Args 5}}",
            "error: template: :1:2: executing \"\" at <index>: error calling index: index out of range: 5",
        ),
        ("{{len 5}}", "error: template: :1:2: executing \"\" at <len>: error calling len: len of type int"),
        (
            "{{join .Args}}",
            "error: template: :1:2: executing \"\" at <join>: wrong number of args for join: want 2 got 1",
        ),
        ("{{.Id 1}}", "error: template: :1:2: executing \"\" at <.Id>: Id is not a method but has arguments"),
        (
            "{{eq 1 \"a\"}}",
            "error: template: :1:2: executing \"\" at <eq>: error calling eq: incompatible types for comparison",
        ),
        (
            "{{pad .Id \"\u{1b}[2J\" 0}}",
            "error: template: :1:2: executing \"\" at <pad>: error calling pad: wrong type for value; expected int; got string",
        ),
        (
            "{{pad .Id -1 0}}",
            "error: template: :1:2: executing \"\" at <pad>: error calling pad: -1 is out of range",
        ),
        ("{{range 5}}{{end}}", "error: template: :1:8: executing \"\" at <5>: range can't iterate over 5"),
    ]);
}

#[test]
fn an_error_shows_no_control_characters_of_the_data() {
    let data = json!({"a\u{1b}b": {"c": 1}, "k": "a\u{1b}b"});
    for text in
        ["{{index . .k \"\\x1b\" \"x\"}}", "{{.k.\u{1b}}}", "{{index . .k .k .k}}", "{{range .k}}{{end}}"]
    {
        let error = match Template::parse(text) {
            Ok(template) => template.execute(&data).unwrap_err(),
            Err(error) => error,
        };
        assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
    }
}

#[test]
fn what_a_template_makes_is_bounded() {
    for text in [
        "{{$x := \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}{{range .l}}{{$x = print $x $x}}{{end}}{{len $x}}",
        "{{range .l}}{{range $.l}}{{range $.l}}{{range $.l}}{{end}}{{end}}{{end}}{{end}}",
        "{{pad \"a\" 999999999 9999999999}}",
        "{{range .l}}{{pad \"a\" 9999999 0}}{{end}}",
    ] {
        let list = json!({"l": vec![0; 100]});
        assert!(Template::parse(text).unwrap().execute(&list).is_err(), "{text}");
    }
}

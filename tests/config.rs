//! The configuration from outside: the files that ship with the product, overrides, the environment, damaged input.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers may panic, and tables of assertions are long")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollout::config::{self, Config, ConfigErrors, FindError};
use rollout::fleet::{self, ProcessSettings};
use rollout::model::{Before, CanaryStep, Count, Hook, HookAt, HookClass, OnDrainTimeout, OnFailure, Span};
use rollout::os::extract::Extract;
use rollout::probe::{HttpSettings, HttpVersion, Kind};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that ship with the product.
fn shipped() -> Vec<PathBuf> {
    let mut files = vec![top().join("rollout.toml")];
    let examples = fs::read_dir(top().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(examples.filter(|path| path.extension().is_some_and(|ext| ext == "toml")));
    files.sort();
    files
}

fn env(name: &str) -> Option<String> {
    match name {
        "GATEWAY_TOKEN" => Some("tok-{{ 1 }}-en".to_owned()),
        "FLY_API_TOKEN" | "VERCEL_TOKEN" | "DATAPLANE_BASIC" | "CHECK_TOKEN" | "SHOP_TOKEN" | "PROMETHEUS_TOKEN" => {
            Some("s3cret-value".to_owned())
        }
        "XDG_STATE_HOME" => Some("/state".to_owned()),
        _ => None,
    }
}

const SMALLEST: &str = r#"
[service]
name = "shop"
[fleet]
driver = "process"
instances = ["web-[1:4]"]
port = 8080
[update]
start = ["shop"]
[traffic]
driver = "haproxy"
sockets = ["/run/haproxy.sock"]
backend = "shop"
"#;

fn read_with(text: &str, sets: &[&str]) -> Result<Config, ConfigErrors> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    config::read(Path::new("/etc/shop/rollout.toml"), text, &sets, &env)
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    read_with(text, &[])
}

fn http(config: &Config) -> &HttpSettings {
    let Kind::Http(http) = &config.health.probe else { unreachable!("{:?}", config.health) };
    http
}

fn process(config: &Config) -> &ProcessSettings {
    let fleet::Settings::Process(process) = &config.fleet else { unreachable!("{:?}", config.fleet) };
    process
}

#[test]
fn every_file_that_ships_is_without_fault_and_without_doubt() {
    let files = shipped();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let config = config::load(&file, &[], &env).unwrap_or_else(|errors| panic!("{errors}"));
        let nobody = matches!(config.traffic, rollout::traffic::Settings::None);
        assert_eq!(config.warnings.len(), usize::from(nobody), "{}: {:?}", file.display(), config.warnings);
    }
}

#[test]
fn the_demos_file_says_what_the_demo_is() {
    let config = config::load(&top().join("rollout.toml"), &[], &env).unwrap();
    assert_eq!(config.service.name, "demo");
    assert_eq!(config.targets.len(), 20);
    let last = &config.targets[19];
    assert_eq!((last.id.as_str(), last.host.as_str(), last.port), ("web-20", "127.0.0.1", 18020));
    let policy = config.policy();
    assert_eq!(policy.health.interval, Span::from_millis(200));
    assert_eq!(policy.health.watch_interval, Span::from_secs(1));
    assert!(policy.health.expects_version);
    assert_eq!(policy.strategy.batch_size, [Count::Absolute(2)]);
    assert_eq!(config.vip.unwrap().rate, 320);
    assert_eq!(config.journal_dir, Path::new("/tmp/rollout-demo/state"));
    let protected = config.envs.get("default").map(|env| env.protected);
    assert_eq!(protected, Some(false));
}

#[test]
fn the_smallest_file_has_the_defaults_of_the_contract() {
    let config = read(SMALLEST).unwrap();
    assert_eq!(config.service.env, "default");
    assert_eq!((config.journal_dir.as_path(), config.journal_keep), (Path::new("/state/rollout"), 500));
    let http = http(&config);
    assert_eq!((http.path.as_str(), http.status.as_slice()), ("/health", [(200, 299)].as_slice()));
    assert_eq!((&http.version, &config.health.version), (&None, &None));
    assert_eq!(config.vip, None);
    let process = process(&config);
    assert_eq!(process.dir, Path::new("/state/rollout/fleet/shop/default"));
    assert_eq!(process.stop_timeout, Span::from_secs(5));
    let rollout::traffic::Settings::Haproxy(haproxy) = &config.traffic else { unreachable!("{:?}", config.traffic) };
    assert_eq!(haproxy.server, "{{ instance.id }}");
    assert_eq!(haproxy.timeout, Span::from_secs(2));
    assert_eq!(config.targets[0].host, "web-1");

    let policy = config.policy();
    assert_eq!(policy.update.timeout, Span::from_secs(120));
    assert_eq!(policy.drain.timeout, Span::from_secs(5));
    assert_eq!(policy.drain.on_timeout, OnDrainTimeout::Force);
    let health = policy.health;
    assert_eq!((health.timeout, health.interval), (Span::from_secs(5), Span::from_secs(2)));
    assert_eq!((health.rise, health.retries), (2, 3));
    assert_eq!((health.start_timeout, health.deadline), (Span::from_secs(20), Span::from_secs(60)));
    assert_eq!((health.watch_interval, health.before), (Span::from_secs(5), Before::Skip));
    assert!(!health.expects_version);
    let strategy = policy.strategy;
    assert_eq!(strategy.batch_size, [Count::Absolute(2)]);
    assert_eq!((strategy.max_unavailable, strategy.min_serving), (Count::Absolute(2), Count::Absolute(1)));
    assert_eq!((strategy.batch_pause, strategy.min_healthy_time), (Span::from_secs(10), Span::ZERO));
    assert_eq!((strategy.progress_timeout, strategy.approval_timeout), (Span::from_secs(600), Span::from_secs(1800)));
    let rollback = policy.rollback;
    assert_eq!((rollback.threshold_percent, rollback.max_failures), (10, 3));
    assert_eq!((rollback.on_failure, rollback.max_unavailable), (OnFailure::Rollback, Count::Absolute(2)));
}

#[test]
fn the_examples_read_as_they_say() {
    let config = config::load(&top().join("examples/process-haproxy-tcp.toml"), &[], &env).unwrap();
    let policy = config.policy();
    assert_eq!(policy.rollback.on_failure, OnFailure::Pause);
    assert_eq!(policy.rollback.max_unavailable, Count::Absolute(1));
    assert_eq!(policy.drain.on_timeout, OnDrainTimeout::Extend);
    assert_eq!(config.targets[1].zone.as_deref(), Some("west"));
    assert_eq!(config.targets[1].labels.get("rack").map(String::as_str), Some("7"));
    let process = process(&config);
    assert_eq!(process.env.0, [("TOKEN".to_owned(), "tok-{{ 1 }}-en".to_owned())]);
    assert!(!format!("{process:?}").contains("tok-"));
    let config = config::load(&top().join("examples/process-haproxy-unix.toml"), &[], &env).unwrap();
    assert_eq!(http(&config).status, [(200, 200), (204, 204)]);
    assert_eq!(http(&config).version, Some(HttpVersion::Body(Extract::Json("/version".to_owned()))));
    assert_eq!(config.policy().strategy.batch_size, [Count::Absolute(1), Count::Absolute(2)]);
    assert!(config.env().unwrap().protected);
}

#[test]
fn sets_go_on_top_and_take_bare_words() {
    let sets =
        ["drain.timeout=0s", "strategy.batch_size=[1, \"30%\"]", "service.env = prod", "vip={url = \"http://a/\", rate = 5}"];
    let config = read_with(SMALLEST, &sets).unwrap();
    let policy = config.policy();
    assert_eq!(policy.drain.timeout, Span::ZERO);
    assert_eq!(policy.strategy.batch_size, [Count::Absolute(1), Count::Percent(30)]);
    assert_eq!(config.service.env, "prod");
    assert_eq!(config.vip.unwrap().rate, 5);
    assert_eq!(config.source.sets().len(), 4);
    assert_eq!(config.warnings, ["--set drain.timeout → is no time: connections are cut as soon as an instance is out"]);
}

#[test]
fn faults_of_sets_are_placed_at_the_set() {
    let sets = ["drain.timeot=0s", "health.rise=zero", "strategy.batch_size=[1,", "=3", "rise", "service.name.x=1", "a..b=1"];
    let errors = read_with(SMALLEST, &sets).unwrap_err();
    assert_eq!(
        errors.short_lines(),
        [
            "--set drain.timeot → unknown key; the nearest known is timeout",
            "--set health.rise → is a text; write a number from 1 to 100000",
            "--set strategy.batch_size → is not valid TOML: unclosed array, expected `]`",
            "--set \"\" → is not a key; write it with dots, like drain.timeout",
            "--set rise → needs a value: --set key=value",
            "--set service.name.x → cannot be set: name is a text, not a table",
            "--set a..b → is not a key; write it with dots, like drain.timeout",
        ]
    );
}

#[test]
fn no_value_of_the_environment_is_ever_printed() {
    let secret = |_: &str| Some("s3cret value {{ nope }} \u{1b}[31m".to_owned());
    let text = SMALLEST
        .replace("\"shop\"", "\"${A}\"")
        .replace("\"process\"", "\"${A}\"")
        .replace("\"web-[1:4]\"", "\"${A}\"")
        .replace("/run/haproxy.sock", "${A}")
        + "[drain]\ntimeout = \"${A}\"\n[health]\npath = \"${A}\"\nversion = { header = \"${A}\" }\n[vip]\nurl = \"${A}\"\nrate = \"${A}\"\n\
           [strategy]\nbatch_size = \"${A}\"\nkind = \"${A}\"\n[journal]\ndir = \"${A}\"\n[console]\ntheme = \"${A}\"\n";
    let errors = config::read(Path::new("f.toml"), &text, &[], &secret).unwrap_err();
    let shown = format!("{errors}\n{errors:?}\n{}", errors.short_lines().join("\n"));
    assert!(errors.short_lines().len() >= 12, "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains('\u{1b}'), "{shown}");

    let text = SMALLEST.replace("[\"shop\"]", "[\"/bin/shop\", \"--token=${A}\"]");
    let config = config::read(Path::new("f.toml"), &text, &[], &secret).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    assert_eq!(
        config.redactor.redact("cannot run /bin/shop --token=s3cret value {{ nope }} \u{1b}[31m"),
        "cannot run /bin/shop --token=${A}"
    );
}

#[test]
fn marks_and_line_ends_of_other_systems_are_read() {
    let text = format!("\u{feff}{}", SMALLEST.replace('\n', "\r\n"));
    assert_eq!(read(&text).unwrap().targets.len(), 4);
    let errors = read(&format!("{text}[drain]\r\ntimout = 1\r\n")).unwrap_err();
    assert_eq!(errors.short_lines(), ["/etc/shop/rollout.toml:15:1 drain.timout → unknown key; the nearest known is timeout"]);
    assert!(errors.to_string().ends_with("\n   |\n15 | timout = 1\n   | ^^^^^^"), "{errors}");
}

#[test]
fn files_that_are_none_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], wanted: &str| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let lines = config::load(&path, &[], &env).unwrap_err().short_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = lines[0].replace(&format!("{}/", dir.path().display()), "");
        assert_eq!(line, wanted);
    };
    check("large", &vec![b'#'; 1024 * 1024 + 1], "large:1:1 → is larger than 1 MiB: is it the right file?");
    check("latin", b"[service]\nname = \"caf\xe9\"\n", "latin:2:12 → byte 0xe9 is not UTF-8; save the file as UTF-8");
    let gone = config::load(&dir.path().join("gone"), &[], &env).unwrap_err().short_lines();
    assert!(gone[0].contains("gone:1:1 → cannot be opened: No such file"), "{gone:?}");
    let folder = config::load(dir.path(), &[], &env).unwrap_err().short_lines();
    assert!(folder[0].contains("→ cannot be opened: is a directory"), "{folder:?}");
}

#[test]
fn the_file_is_looked_for_where_the_contract_says() {
    let dir = tempfile::tempdir().unwrap();
    let (flag, variable) = (Path::new("flag.toml"), std::ffi::OsStr::new("variable.toml"));
    assert_eq!(config::find(None, None, dir.path()), Err(FindError::None(dir.path().to_owned())));
    let missing = |by, path: &str| Err(FindError::Missing { by, path: path.into() });
    assert_eq!(config::find(None, Some(variable), dir.path()), missing("ROLLOUT_CONFIG", "variable.toml"));
    for name in ["rollout.toml", "variable.toml"] {
        fs::write(dir.path().join(name), SMALLEST).unwrap();
    }
    assert_eq!(config::find(Some(flag), Some(variable), dir.path()), missing("--config", "flag.toml"));
    assert_eq!(config::find(None, Some(variable), dir.path()), Ok("variable.toml".into()));
    assert_eq!(config::find(None, Some(std::ffi::OsStr::new("")), dir.path()), Ok("rollout.toml".into()));
    assert_eq!(config::find(None, None, dir.path()), Ok("rollout.toml".into()));
}

#[test]
fn relative_paths_begin_at_the_file() {
    let config =
        read(&format!("{SMALLEST}[journal]\ndir = \"state\"\n").replace("port = 8080", "port = 8080\ndir = \"../run\"")).unwrap();
    assert_eq!(config.journal_dir, Path::new("/etc/shop/state"));
    let process = process(&config);
    assert_eq!(process.dir, Path::new("/etc/shop/../run"));
}

#[test]
fn ten_thousand_instances_are_read_quickly() {
    let mut text = SMALLEST.replace("instances = [\"web-[1:4]\"]\n", "");
    for n in 0..10_000 {
        writeln!(text, "[[fleet.instance]]\nid = \"web-{n:05}\"\nhost = \"10.0.{}.{}\"", n / 250, n % 250).unwrap();
    }
    let started = tokio::time::Instant::now();
    assert_eq!(read(&text).unwrap().targets.len(), 10_000);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

fn numbered(many: u32, before: &str, after: &str) -> String {
    (0..many).fold(String::new(), |text, n| text + before + &n.to_string() + after)
}

#[test]
fn hostile_shapes_are_refused_quickly() {
    let wide = |piece: &str| piece.repeat(900_000 / piece.len());
    let nested = format!("x = {}", format!("{{{}=", "a.".repeat(78) + "a").repeat(78));
    let shapes = [
        wide("["),
        wide("a."),
        wide("[a]\n"),
        format!("a = {}", wide("[")),
        format!("{}1", wide("{a=")),
        numbered(60_000, "k", " = 1\n"),
        numbered(60_000, "[t", "]\n"),
        wide("\u{0}"),
        wide("x = \"${A\"\n"),
        wide("é"),
        wide("\r"),
        nested,
        format!("[fleet]\ninstances = [{}]", wide("\"a[1:99999]\",")),
        format!("[fleet]\nport = 1\nhost = \"h\"\ninstances = [{}]", wide("\"a\",")),
        format!("[update]\nstart = [\"{}\"]", wide("{{ x }}")),
    ];
    for shape in shapes {
        let started = tokio::time::Instant::now();
        let errors = read(&shape).unwrap_err();
        let shown = errors.to_string();
        assert!(shown.len() < 200_000, "{} bytes", shown.len());
        let name: String = shape.chars().take(30).collect();
        assert!(started.elapsed() < Duration::from_secs(10), "{name:?} takes {:?}", started.elapsed());
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Truncates, flips, removes, doubles and swaps pieces of the files that ship. Whatever comes out is read or refused, and
/// what is shown of it never has a control character that came from the file.
#[test]
fn damaged_files_are_read_or_refused_and_never_more() {
    let files: Vec<Vec<u8>> = shipped().iter().map(|file| fs::read(file).unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.toml");
    let mut dice = Dice(0x5eed_2024);
    let mut refused = 0;
    for round in 0..3000 {
        let mut bytes = files[round % files.len()].clone();
        for _ in 0..=dice.below(4) {
            damage(&mut bytes, &mut dice);
        }
        fs::write(&path, &bytes).unwrap();
        if let Err(errors) = config::load(&path, &[], &env) {
            refused += 1;
            let shown = errors.to_string();
            assert!(!errors.short_lines().is_empty());
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "round {round}: {shown:?}");
            assert!(errors.short_lines().iter().all(|line| !line.contains('\n')), "round {round}: {shown:?}");
        }
    }
    assert!(refused > 1000, "only {refused} were refused");
}

fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    const PIECES: [&[u8]; 14] = [
        b"[",
        b"]",
        b"\"",
        b"=",
        b"\n",
        b"\0",
        b"\x1b",
        b"\xff",
        b"${",
        b"{{",
        b"-1",
        b"99999999999999999999",
        b"\xe2\x80\xae",
        b"[[a]]\n",
    ];
    let at = dice.below(bytes.len());
    let until = (at + dice.below(40)).min(bytes.len());
    match dice.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (at % 8)),
        2 => drop(bytes.drain(at..until)),
        3 => {
            let piece = bytes[at..until].to_vec();
            let to = dice.below(bytes.len());
            drop(bytes.splice(to..to, piece));
        }
        4 => {
            let piece = PIECES[dice.below(PIECES.len())];
            drop(bytes.splice(at..at, piece.iter().copied()));
        }
        _ => {
            // A value becomes another one of the file.
            let text = String::from_utf8_lossy(bytes).into_owned();
            let values: Vec<&str> = text.lines().filter_map(|line| line.split_once(" = ")).map(|(_, value)| value).collect();
            if !values.is_empty() {
                let (one, other) = (values[dice.below(values.len())], values[dice.below(values.len())]);
                *bytes = text.replacen(one, other, 1).into_bytes();
            }
        }
    }
}

#[test]
fn the_long_form_shows_the_line_and_the_caret() {
    let text = "[service]\nname = \"shop\"\n[fleet]\ndriver = \"process\"\ninstances = [\"web-[1:2]\"]\nport = 0\n[update]\nstart = []\n";
    let errors = config::read(Path::new("shop.toml"), text, &["drain.timeout=5".to_owned()], &env).unwrap_err();
    let wanted = r#"shop.toml: 4 faults; nothing was touched

shop.toml:1:1 traffic.driver → is missing; add driver = "haproxy", "nginx", "caddy", "command", "http" or "none"

shop.toml:6:8 fleet.port → is no port; write a number from 1 to 65535 for all, or "[8001:8020]" for one each in turn
  |
6 | port = 0
  |        ^

shop.toml:8:9 update.start → is empty; write the program and its arguments
  |
8 | start = []
  |         ^^

--set drain.timeout → has no unit; write "5s" for seconds or "5ms" for milliseconds"#;
    assert_eq!(errors.to_string(), wanted);
}

#[test]
fn what_is_legal_and_doubtful_is_a_warning() {
    let text = format!(
        "{SMALLEST}[drain]\ntimeout = \"0s\"\n[health]\nretries = 50\n[strategy]\nbatch_size = 4\nprogress_timeout = \"2m\"\n[env.prod]\n"
    )
    .replace("[\"shop\"]", "[\"shop\"]\nstop_timeout = \"0s\"");
    let warnings = read(&text).unwrap().warnings;
    let wanted = [
        "10:16 update.stop_timeout → is no time: processes are killed without a chance to finish their requests",
        "16:11 drain.timeout → is no time: connections are cut as soon as an instance is out",
        "18:11 health.retries → is 50 misses, one every 2s: health.deadline = 1m always comes first",
        "20:14 strategy.batch_size → makes batches of 4, of which max_unavailable lets 2 be out at a time",
        "21:20 strategy.progress_timeout → is 2m, but an instance alone may take 3m10s (drain, update, health, pause)",
        "22:2 env → has prod but not \"default\", which service.env names",
    ];
    assert_eq!(warnings, wanted.map(|line| format!("/etc/shop/rollout.toml:{line}")));

    let alone = read(&SMALLEST.replace("web-[1:4]", "web-1")).unwrap().warnings;
    assert_eq!(alone.len(), 1, "{alone:?}");
    assert!(alone[0].contains("strategy.min_serving → is as many as there are"), "{alone:?}");
}

/// What stands where it cannot, or does not go together, is named at its place.
#[test]
fn health_and_discovery_say_what_is_wrong_with_them() {
    let faults = |more: &str| {
        let errors = config::read(Path::new("/etc/shop/rollout.toml"), &format!("{SMALLEST}{more}"), &[], &|name| {
            (name == "XDG_STATE_HOME").then(|| "/state".to_owned())
        });
        errors.err().map_or_else(Vec::new, |errors| errors.short_lines()).join("\n")
    };
    for (more, part) in [
        ("[health.tls]\ncert_file = \"a.pem\"\n", "health.tls.key_file → is missing; cert_file is of no use without it"),
        ("[health.tls]\nca_file = \"a.pem\"\ninsecure = true\n", "health.tls.insecure → contradicts ca_file"),
        ("[health.tls]\nserver_name = \"a b\"\n", "is no name that a certificate could have"),
        ("[health]\nprobe = \"tcp\"\n[health.tls]\n", "health.tls → is for probe = \"http\" and \"grpc\""),
        ("[health]\nprobe = \"grpc\"\npath = \"/x\"\n", "health.path → is for probe = \"http\""),
        ("[health]\nservice = \"x\"\n", "health.service → is for probe = \"grpc\""),
        ("[health]\nprobe = \"grpc\"\nversion = { json = \"/v\" }\n", "needs a text to look in"),
        ("[health]\nmax_latency = \"5s\"\n", "health.max_latency → is 5s, which health.timeout = 5s ends before"),
        ("[health]\nlatency = { samples = 20 }\n", "health.latency.p99 → is missing"),
        ("[health]\nlatency = { p99 = \"1s\", samples = 31 }\n", "health.latency.samples → is 31 checks, one every 2s"),
        ("[health.startup]\nprobe = \"exec\"\n", "health.startup.command → is missing"),
        ("[fleet.discover]\n", "fleet.discover.balancer → is missing, and so is any other source"),
        ("[fleet.discover.dns]\n", "fleet.discover.dns.name → is missing"),
        ("[fleet.discover.dns]\nname = \"a\"\nsrv = \"b\"\n", "fleet.discover.dns.srv → contradicts name"),
        ("[fleet.discover.dns]\nname = \"a b\"\n", "is no name that DNS could have"),
        ("[fleet.discover.dns]\nname = \"a\"\nserver = \"x\"\n", "fleet.discover.dns.server → \"x\" is no address"),
        ("[fleet.discover.docker]\n", "fleet.discover.docker.labels → is missing"),
        ("[fleet.discover.docker]\nlabels = []\n", "fleet.discover.docker.labels → is empty, which is every container"),
        ("[fleet.discover.docker]\nlabels = [\"=x\"]\n", "fleet.discover.docker.labels → \"=x\" is no label"),
        (
            "[fleet.discover.docker]\nlabels = [\"a\"]\nhost = \"ssh://web-1\"\n",
            "fleet.host → is missing, and a daemon elsewhere",
        ),
        (
            "[fleet.discover.docker]\nlabels = [\"a\"]\nhost = \"ssh://{{ x }}\"\n",
            "docker.host → \"ssh://{{ x }}\" is a template",
        ),
        ("[fleet.discover.docker]\nlabels = [\"a\"]\nhost = \"web-1\"\n", "\"web-1\" is no daemon"),
        ("[fleet.discover.command]\ngroup = \"web\"\n", "fleet.discover.command.command → is missing"),
    ] {
        let said = faults(more);
        assert!(said.contains(part), "{part}: {said}");
    }
    let good = "[health]\nmax_latency = \"1s\"\n[health.tls]\nca_file = \"ca.pem\"\ninsecure = false\n[fleet.discover.dns]\nname = \"web\"\n";
    let config = read(&format!("{SMALLEST}{good}")).unwrap();
    assert_eq!(config.health.tls.unwrap().ca_file.unwrap(), Path::new("/etc/shop/ca.pem"));
    let own = SMALLEST.replace("instances = [\"web-[1:4]\"]\n", "")
        + "[[fleet.instance]]\nid = \"web-1\"\nhealth = { path = \"/own\", port = 9 }\n";
    let config = read(&own).unwrap();
    let aside = config.health.places.instances.values().next().unwrap();
    assert_eq!((aside.path.as_deref(), aside.port, aside.host.as_deref()), (Some("/own"), Some(9), None));
    assert!(faults("[health.tls]\ninsecure = true\n").is_empty());
    let insecure = read(&format!("{SMALLEST}[health.tls]\ninsecure = true\n")).unwrap();
    assert!(insecure.warnings.iter().any(|warning| warning.contains("health.tls.insecure → believes whoever answers")));
}

const CANARY: &str = r#"
[strategy]
kind = "canary"
steps = [{ weight = 10 }, { pause = "5m" }, { instances = "25%" }, { instances = 2 }, { pause = "promote" }, { run = "smoke" }]

[hooks.smoke]
at = "step"
command = ["/opt/smoke", "{{ version }}"]
retries = 2
env = { TOKEN = "${SHOP_TOKEN}" }

[hooks.flag]
at = "before-rollback"
command = ["/opt/flag"]

[hooks.tidy]
at = "after-deployment"
class = "cleanup"
command = ["/opt/tidy"]
timeout = "5s"
"#;

#[test]
fn steps_and_hooks_are_read_as_they_stand() {
    let config = read(&format!("{SMALLEST}{CANARY}")).unwrap();
    let policy = config.policy();
    let expected = [
        CanaryStep::Weight { percent: 10 },
        CanaryStep::Pause { lasts: Some(Span::from_secs(300)) },
        CanaryStep::Instances { count: Count::Percent(25) },
        CanaryStep::Instances { count: Count::Absolute(2) },
        CanaryStep::Pause { lasts: None },
        CanaryStep::Run { hook: "smoke".to_owned() },
    ];
    let canary = policy.canary.unwrap();
    assert_eq!((canary.steps.as_slice(), canary.weighted), (expected.as_slice(), false), "weights are the plan's business");
    let hook = |name: &str, at, class, seconds, retries| Hook {
        name: name.to_owned(),
        at,
        class,
        timeout: Span::from_secs(seconds),
        retries,
    };
    let expected = [
        hook("smoke", HookAt::Step, HookClass::Gate, 60, 2),
        hook("flag", HookAt::BeforeRollback, HookClass::BestEffort, 10, 0),
        hook("tidy", HookAt::AfterDeployment, HookClass::Cleanup, 5, 0),
    ];
    assert_eq!(policy.hooks, expected);
    assert_eq!(config.hooks[0].program.argv, ["/opt/smoke", "{{ version }}"]);
    assert_eq!(config.hooks[0].program.env.0, [("TOKEN".to_owned(), "s3cret-value".to_owned())]);
    assert!(!format!("{:?}", config.hooks).contains("s3cret"));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_canary_can_go_without_its_steps_for_once_and_says_so() {
    let config = read_with(&format!("{SMALLEST}{CANARY}"), &["strategy.kind=rolling"]).unwrap();
    assert_eq!(config.policy().canary, None);
    assert_eq!(config.policy().hooks.len(), 3);
    assert!(config.warnings[0].contains("does not go through strategy.steps"), "{:?}", config.warnings);
    let without = read_with(SMALLEST, &["strategy.kind=canary"]).unwrap_err();
    assert!(without.to_string().contains("strategy.steps → is missing"), "{without}");
}

fn at(text: &str) -> rollout::model::Timestamp {
    serde_json::from_value(serde_json::Value::from(text)).unwrap()
}

#[test]
fn windows_and_freezes_say_when_a_deployment_may_begin_and_when_next() {
    let windows = "[windows]\nopen = [\"Mon-Thu 09:00-16:00\", \"Fri 9:00-12:00\"]\ntimezone = \"Europe/Berlin\"\n";
    let freeze = "[freeze.party]\nfrom = \"2026-11-24\"\nto = \"2026-11-24\"\nreason = \"nobody is there\"\n";
    let calendar = read(&format!("{SMALLEST}{windows}{freeze}")).unwrap().calendar;
    assert_eq!(calendar.names(), ["windows", "party"]);
    // 2026-11-23 is a Monday; Berlin is an hour ahead.
    for (when, closed) in [
        ("2026-11-23T07:59:59Z", &["windows"][..]),
        ("2026-11-23T08:00:00Z", &[]),
        ("2026-11-23T14:59:59Z", &[]),
        ("2026-11-23T15:00:00Z", &["windows"]),
        ("2026-11-23T22:59:59Z", &["windows"]),
        ("2026-11-23T23:00:00Z", &["windows", "party"]),
        ("2026-11-24T10:00:00Z", &["party"]),
        ("2026-11-24T23:00:00Z", &["windows"]),
        ("2026-11-27T10:59:59Z", &[]),
        ("2026-11-28T10:00:00Z", &["windows"]),
    ] {
        let names: Vec<String> = calendar.closed(at(when)).into_iter().map(|closed| closed.name).collect();
        assert_eq!(names, closed, "{when}");
    }
    let why = |when: &str| calendar.closed(at(when)).pop().unwrap().why;
    let next = "outside of [windows] open = Mon-Thu 09:00-16:00, Fri 9:00-12:00; the next opens on Mon 2026-11-30 09:00 CET";
    assert_eq!(why("2026-11-27T11:00:00Z"), next);
    assert_eq!(why("2026-11-24T10:00:00Z"), "freeze party (nobody is there) ends on Wed 2026-11-25 00:00 CET");
    assert_eq!(read(SMALLEST).unwrap().calendar.closed(at("2026-11-28T10:00:00Z")), []);
}

#[test]
fn a_window_in_the_hour_of_a_clock_change_is_where_the_clock_on_the_wall_says() {
    let night = "[windows]\nopen = \"Sun 02:30-03:30\"\ntimezone = \"Europe/Berlin\"\n";
    let calendar = read(&format!("{SMALLEST}{night}")).unwrap().calendar;
    // 2026-03-29: 02:00 to 03:00 does not exist. 2026-10-25: it comes twice.
    for (when, open) in [
        ("2026-03-29T00:59:00Z", false),
        ("2026-03-29T01:00:00Z", true),
        ("2026-03-29T01:30:00Z", false),
        ("2026-10-25T00:30:00Z", true),
        ("2026-10-25T01:00:00Z", false),
        ("2026-10-25T01:30:00Z", true),
    ] {
        assert_eq!(calendar.closed(at(when)).is_empty(), open, "{when}");
    }
}

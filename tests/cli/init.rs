//! `init`: from real HAProxy configurations to a file that `check` finds nothing missing in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rollout::config;
use rollout::demo::world::Lb;

use crate::common;
use crate::fleet::{Fleet, Ran, rollout};

fn init(dir: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(rollout());
    command.arg("init").args(args).current_dir(dir).env_remove("ROLLOUT_CONFIG").stdin(Stdio::null());
    Ran::of(command.output().unwrap())
}

fn read(text: &str) -> config::Config {
    config::read(Path::new("/etc/rollout.toml"), text, &[], &|name| (name == "XDG_STATE_HOME").then(|| "/state".to_owned()))
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[test]
fn a_file_from_the_running_haproxy_passes_its_check() {
    if common::server("haproxy").is_none() {
        return;
    }
    let fleet = Fleet::start(3, Lb::Haproxy, &[]);
    let dir = tempfile::tempdir().unwrap();
    let cfg = fleet.world.dir().join("haproxy.cfg");
    let cfg = cfg.to_str().unwrap();
    let made = init(dir.path(), &["--from", cfg]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let text = fs::read_to_string(dir.path().join("rollout.toml")).unwrap();
    assert_eq!(read(&text).targets.len(), 3);
    let check = || {
        let mut command = Command::new(rollout());
        command.arg("check").current_dir(dir.path()).env("XDG_STATE_HOME", dir.path().join("state")).stdin(Stdio::null());
        Ran::of(command.output().unwrap())
    };
    let raw = check();
    assert!(raw.code != Some(0) && raw.out.contains("correct [update]"), "it is not filled in yet: {}{}", raw.out, raw.err);
    let (before, after) = text.split_once("[update]").unwrap();
    let (_, after) = after.split_once("[traffic]").unwrap();
    let update = "[update]\ncommand = [\"true\"]\n\n[update.observe]\ncommand = [\"echo\", \"v1\"]\n\n[traffic]";
    let text = [before, update, after].concat();
    fs::write(dir.path().join("rollout.toml"), &text).unwrap();
    let ran = check();
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("3 of 3 instances serve") && ran.out.contains("3 of 3 pass their check"), "{}", ran.out);
    assert!(!dir.path().join("state").exists(), "nothing was made");

    // What is there stays.
    let again = init(dir.path(), &["--from", cfg]);
    assert!(again.code == Some(2) && again.err.contains("rollout.toml is there already"), "{again:?}");
    assert_eq!(fs::read_to_string(dir.path().join("rollout.toml")).unwrap(), text);
    let printed = init(dir.path(), &["--from", cfg, "--print", "--service", "other"]);
    assert_eq!((printed.code, read(&printed.out).service.name.as_str()), (Some(0), "other"));
}

#[test]
fn configurations_as_they_are_met_become_files() {
    let dir = tempfile::tempdir().unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/haproxy");
    for (file, backend, instances, path, driver) in [
        ("debian.cfg", "web", 3, "/healthz", "command"),
        ("debian.cfg", "api", 2, "/ready", "command"),
        ("listen.cfg", "shop", 2, "/", "command"),
        ("docker.cfg", "app", 4, "/health", "command"),
    ] {
        let from = top.join(file);
        let ran = init(dir.path(), &["--from", from.to_str().unwrap(), "--backend", backend, "--print"]);
        assert_eq!(ran.code, Some(0), "{file} {backend}: {}", ran.err);
        let config = read(&ran.out);
        assert_eq!((config.targets.len(), config.service.name.as_str()), (instances, backend), "{file}");
        assert!(
            ran.out.contains(&format!("path = \"{path}\"")) && ran.out.contains(&format!("driver = \"{driver}\"")),
            "{}",
            ran.out
        );
    }
    assert!(!dir.path().join("rollout.toml").exists());
}

/// nginx, compose, Ansible: told apart by what they are, and each note says what is not known.
#[test]
fn other_files_become_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/other");
    let from = |file: &str, more: &[&str]| {
        let from = top.join(file);
        init(dir.path(), &[&["--from", from.to_str().unwrap(), "--print"], more].concat())
    };
    let shop = from("nginx.conf", &["--backend", "shop"]);
    assert_eq!(shop.code, Some(0), "{}", shop.err);
    let config = read(&shop.out);
    let ids: Vec<String> = config.targets.iter().map(|t| format!("{}={}:{}", t.id, t.host, t.port)).collect();
    assert_eq!(ids, ["10.0.0.1=10.0.0.1:8080", "10.0.0.2=10.0.0.2:8080", "10.0.0.3=10.0.0.3:8080"]);
    assert!(shop.out.contains("https://shop.example/"), "{}", shop.out);
    for part in ["marked backup", "unix:/run/shop.sock is left out", "health.path is a guess", "[traffic]"] {
        assert!(shop.err.contains(part), "{part}: {}", shop.err);
    }
    assert_eq!(read(&from("nginx.conf", &["--backend", "api"]).out).targets[1].id.as_str(), "10.0.0.1-9001");
    let several = from("nginx.conf", &[]);
    assert!(
        several.code == Some(2) && several.err.contains("several upstreams") && several.err.contains("shop, api"),
        "{several:?}"
    );

    let compose = from("compose.yaml", &[]);
    assert_eq!(compose.code, Some(0), "{}", compose.err);
    let config = read(&compose.out);
    let ids: Vec<String> = config.targets.iter().map(|t| format!("{}={}:{}", t.id, t.host, t.port)).collect();
    assert_eq!(
        (ids, config.service.name.as_str()),
        (vec!["shop-1=127.0.0.1:8001".to_owned(), "shop-2=127.0.0.1:8002".to_owned()], "shop")
    );
    assert!(compose.err.contains("db publishes no port") && compose.out.contains("compose.yaml"), "{compose:?}");

    if common::server("ansible-inventory").is_some() {
        let web = from("hosts.ini", &["--backend", "web"]);
        assert_eq!(web.code, Some(0), "{}", web.err);
        let config = read(&web.out);
        assert!(config.targets.is_empty() && config.discover.is_some(), "it is asked for each time: {}", web.out);
        assert!(web.err.contains("the 2 hosts of web") && web.err.contains("fleet.port is a guess"), "{}", web.err);
        let several = from("hosts.ini", &[]);
        assert!(several.code == Some(2) && several.err.contains("several groups") && several.err.contains("web"), "{several:?}");
    }
}

/// At a terminal questions are asked, and a wrong answer is asked again.
#[test]
fn questions_at_a_terminal_become_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let size = PtySize { rows: 24, cols: 80, ..PtySize::default() };
    let pty = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(rollout());
    command.args(["init", "--service", "shop"]);
    command.cwd(dir.path());
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    pty.master.take_writer().unwrap().write_all(b"\nswarm\nprocess\nweb-[1:3]\n127.0.0.1\n\n/up\n\n\n").unwrap();
    let mut said = String::new();
    // A terminal whose program has ended is an error to read from.
    pty.master.try_clone_reader().unwrap().read_to_string(&mut said).ok();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.contains("write process or command") && said.contains("rollout.toml is written"), "{said}");
    let config = read(&fs::read_to_string(dir.path().join("rollout.toml")).unwrap());
    assert_eq!((config.targets.len(), config.targets[2].port), (3, 8003));
}

#[test]
fn what_cannot_be_chosen_or_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/haproxy");
    let debian = top.join("debian.cfg");
    let several = init(dir.path(), &["--from", debian.to_str().unwrap()]);
    assert!(several.code == Some(2) && several.err.contains("--backend") && several.err.contains("web, api"), "{several:?}");
    let unknown = init(dir.path(), &["--from", debian.to_str().unwrap(), "--backend", "webb"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("it has: web, api"), "{unknown:?}");
    let absent = init(dir.path(), &["--from", "nowhere.cfg"]);
    assert!(absent.code == Some(2) && absent.err.contains("nowhere.cfg"), "{absent:?}");
    let directory = init(dir.path(), &["--from", "."]);
    assert_eq!(directory.code, Some(2), "{directory:?}");
    let nobody = init(dir.path(), &[]);
    assert!(nobody.code == Some(2) && nobody.err.contains("--from"), "{nobody:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was written");
}

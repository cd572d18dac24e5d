//! Texts from outside steer nothing: what commands print, instances and balancers answer, operators give as reasons and write
//! into the configuration goes through a real deployment, and every byte is looked at that comes out: terminal, lines, JSON,
//! socket, log, journal.
//!
//! Imports: the program. May not: sleep.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]

mod common;
#[path = "outside/corpus.rs"]
mod corpus;
#[path = "outside/servers.rs"]
mod servers;
#[path = "outside/site.rs"]
mod site;
#[path = "outside/terminal.rs"]
mod terminal;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use common::wait_for;
use corpus::{Payload, all, trouble, trouble_at_terminal};
use servers::{Asked, Server, response};
use site::{Site, said, words};
use terminal::Terminal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The update of the first half fails, and says a payload; the second half answers its probe with one.
const UPDATE: &str = r#"cd "$(dirname "$0")" || exit 99
case "$1" in
cmd-*) cat "$1.payload"; cat "$1.payload" >&2; exit 7 ;;
esac
echo "$2" > "$1.version"
"#;

/// Everything that the deployment meets.
struct World {
    site: Site,
    payloads: Arc<Vec<Payload>>,
    _servers: Vec<Server>,
}

/// An instance on another version than `v1` says that its version is the payload, or sends its probe away to it.
fn instance(version: &Path, number: usize, payload: &Payload) -> Vec<u8> {
    let first = fs::read_to_string(version).is_ok_and(|version| version.trim() == "v1");
    let shown = if first { "v1".to_owned() } else { payload.text() };
    let body = serde_json::json!({ "version": shown }).to_string();
    // What no header can have is left out.
    let location: Vec<u8> = payload.bytes.iter().copied().filter(|byte| *byte >= 0x20 && *byte != 0x7f).take(4000).collect();
    let location = [b"Location: ", location.as_slice(), b"\r\n"].concat();
    if first || number.is_multiple_of(2) {
        response("200 OK", b"", body.as_bytes())
    } else {
        response("302 Found", &location, b"")
    }
}

/// The balancer refuses the first order for each instance, and says a payload.
fn balancer(state: &Path, payloads: &[Payload], refused: &Mutex<BTreeSet<String>>, asked: &Asked) -> Vec<u8> {
    let (what, id) = asked.path().trim_start_matches('/').split_once('/').unwrap_or_default();
    let file = state.join(format!("{id}.rotation"));
    if what == "state" {
        return response("200 OK", b"", fs::read_to_string(file).unwrap_or_else(|_| "in".to_owned()).as_bytes());
    }
    if refused.lock().expect("no panic").insert(id.to_owned()) {
        let number: usize = id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(1);
        return response("409 Conflict", b"", payloads.get(number - 1).map_or(b"no", |payload| payload.bytes.as_slice()));
    }
    fs::write(file, what).expect("a file");
    response("200 OK", b"", b"")
}

impl World {
    async fn new() -> Self {
        let (site, payloads) = (Site::new([]), Arc::new(all()));
        let (state, refused, theirs) = (site.path(""), Mutex::default(), Arc::clone(&payloads));
        let lb = Server::start(move |asked| balancer(&state, &theirs, &refused, asked)).await;
        let (mut servers, mut instances) = (Vec::new(), Vec::new());
        for (number, payload) in (1..).zip(payloads.iter()) {
            for half in ["cmd", "www"] {
                let id = format!("{half}-{number:02}");
                site.write(&format!("{id}.version"), "v1\n");
                site.write(&format!("{id}.payload"), &payload.bytes);
                let (version, theirs) = (site.path(&format!("{id}.version")), Arc::clone(&payloads));
                let server = Server::start(move |_| instance(&version, number, &theirs[number - 1])).await;
                instances.push(table(&id, server.port));
                servers.push(server);
            }
        }
        // Somebody must serve.
        site.write("zzz-99.version", "v1\n");
        let last = Server::start(|_| response("200 OK", b"", b"{\"version\": \"v1\"}")).await;
        instances.push(table("zzz-99", last.port));
        configure(&site, &instances.concat(), lb.port);
        servers.extend([lb, last]);
        Self { site, payloads, _servers: servers }
    }

    fn log(&self) -> String {
        self.site.read("journal/shop.default/engine.log")
    }

    async fn verb(&self, args: &[&str]) -> Output {
        let output = self.site.run(args).await;
        harmless(&args.join(" "), &said(&output));
        output
    }
}

fn harmless(sink: &str, bytes: &[u8]) {
    let trouble = trouble(bytes);
    assert!(trouble.is_none(), "{}: {}", sink.escape_debug(), trouble.unwrap_or_default());
}

fn table(id: &str, port: u16) -> String {
    format!("[[fleet.instance]]\nid = \"{id}\"\nhost = \"127.0.0.1\"\nport = {port}\n")
}

fn configure(site: &Site, instances: &str, lb: u16) {
    let at = site.at();
    site.write("update.sh", UPDATE);
    let text = format!(
        r#"[service]
name = "shop"
[fleet]
driver = "command"
dir = "{at}/fleet"
{instances}
[update]
command = ["sh", "{at}/update.sh", "{{{{ instance.id }}}}", "{{{{ version }}}}"]
observe = ["cat", "{at}/{{{{ instance.id }}}}.version"]
[traffic]
driver = "http"
timeout = "20s"
out = {{ url = "http://127.0.0.1:{lb}/out/{{{{ instance.id }}}}" }}
in = {{ url = "http://127.0.0.1:{lb}/in/{{{{ instance.id }}}}" }}
state = {{ url = "http://127.0.0.1:{lb}/state/{{{{ instance.id }}}}" }}
[drain]
timeout = "100ms"
[health]
timeout = "10s"
interval = "200ms"
rise = 1
retries = 1
start_timeout = "20s"
deadline = "50s"
version = {{ json = "/version" }}
[strategy]
batch_size = 100
batch_pause = "0s"
max_unavailable = 43
[rollback]
threshold = "100%"
max_failures = 100
on_failure = "continue"
[journal]
dir = "{at}/journal"
"#
    );
    site.write("rollout.toml", text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_from_outside_steers_a_terminal_forges_a_line_or_hides() {
    let world = World::new().await;
    let mut terminal = Terminal::start(world.site.in_terminal(&["deploy", "v2"]));
    terminal.shows("[PLANNED]").await;
    let events = world.site.get("/v1/events?after=0");
    let steered = async {
        terminal.press("s");
        terminal.shows("y start").await;
        wait_for("the answer counts", async || (!terminal.text().contains("(off)")).then_some(())).await;
        terminal.press("y");
        terminal.press("l");
        for number in 1..=world.payloads.len() {
            for half in ["cmd", "www"] {
                let failed = format!("{half}-{number:02} FAILED");
                wait_for(&failed, async || world.log().contains(&failed).then_some(())).await;
            }
        }
        reasons(&world).await;
        for key in ["n", "\r", "]", "]", "]", "]"] {
            terminal.press(key);
        }
        for args in [&["status"][..], &["show", "1"], &["events", "1"], &["history"], &["check"], &["plan", "v3"]] {
            world.verb(args).await;
            world.verb(&[args, &["--output", "json"]].concat()).await;
        }
        for stream in ["/v1/deployment", "/v1/logs"] {
            let answer = world.site.get(stream).await;
            harmless(stream, &body(&answer));
        }
        let seen = terminal.left().await;
        world.verb(&["cancel"]).await;
        seen
    };
    let (events, (bytes, _)) = tokio::join!(events, steered);
    harmless("/v1/events", &body(&events));
    assert_eq!(trouble_at_terminal(&bytes), None);
    world.verb(&["show", "1"]).await;
    stored(&world);
}

/// Without the head and the ends of chunks, which are the protocol's.
fn body(answer: &[u8]) -> Vec<u8> {
    let text = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    assert!(text > 0 && answer.len() > text + 10, "an answer");
    String::from_utf8_lossy(&answer[text..]).replace("\r\n", "\n").into_bytes()
}

/// Each payload as a reason: on the command line, and straight to the socket.
async fn reasons(world: &World) {
    for payload in world.payloads.iter() {
        let paused = world.verb(&["hold", "zzz-99", "--reason", &payload.text()]).await;
        assert_eq!(paused.status.code(), Some(0), "{}", words(&paused));
        world.verb(&["release", "zzz-99"]).await;
        let order =
            serde_json::json!({"command": "hold", "instance": "zzz-99", "reason": String::from_utf8_lossy(&payload.bytes)})
                .to_string();
        let mut stream = UnixStream::connect(world.site.socket().await).await.expect("the engine answers");
        let head = format!(
            "POST /v1/commands HTTP/1.1\r\nHost: rollout\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            order.len()
        );
        stream.write_all(&[head.as_bytes(), order.as_bytes()].concat()).await.expect("the engine reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        harmless("/v1/commands", &body(&answer));
        world.verb(&["release", "zzz-99"]).await;
    }
}

/// The log, the words that show that all of it arrived, and the bytes of everything else.
fn stored(world: &World) {
    let log = world.log();
    harmless("engine.log", log.as_bytes());
    harmless("engine.stderr", world.site.read("journal/shop.default/engine.stderr").as_bytes());
    for Payload { word, .. } in world.payloads.iter() {
        let lines = |what: &str| log.lines().filter(|line| line.contains(what) && line.contains(word)).count();
        let (commands, answers, reasons) = (lines("cmd-"), lines("www-"), lines("held by"));
        assert!(
            commands > 0 && answers > 0 && reasons >= 2,
            "{word}: {commands} of commands, {answers} answers, {reasons} reasons"
        );
    }
    let journal = fs::read_dir(world.site.path("journal/shop.default")).expect("a directory").flatten();
    for file in journal.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())) {
        let bytes = fs::read(file.path()).expect("a file");
        for payload in world.payloads.iter().filter(|payload| payload.bytes.len() > payload.word.len()) {
            let raw = bytes.windows(payload.bytes.len()).any(|window| window == payload.bytes);
            assert!(!raw || trouble(&payload.bytes).is_none(), "{}: {}", file.path().display(), payload.word);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_on_the_command_line_or_in_the_file_is_refused_or_shown_harmless() {
    let site = Site::new([]);
    let refused = async |args: Vec<&str>| {
        let output = site.run(&args).await;
        harmless(&args.join(" "), &said(&output));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", words(&output));
    };
    for payload in all() {
        let text = payload.text();
        configure(&site, &table("web-01", 1), 1);
        refused(vec!["deploy", &text, "--yes"]).await;
        refused(vec!["plan", "v2", "--only", &text]).await;
        refused(vec!["show", &text]).await;
        refused(vec!["hold", &text]).await;
        refused(vec![&text]).await;
        refused(vec!["status", "--set", &text]).await;
        refused(vec!["status", "--set", &format!("service.name={text}")]).await;
        refused(vec!["status", "--set", &format!("{text}=1")]).await;
        // In the file: as a name, a zone, a key, and beside a fault.
        let quoted = serde_json::Value::from(text.as_str()).to_string();
        for lines in [
            format!("[service]\nname = {quoted}\n"),
            format!("[service]\nname = \"shop\"\n[[fleet.instance]]\nid = \"web-01\"\nport = 1\nzone = {quoted}{{}}\n"),
            format!("[service]\nname = \"shop\"\n{quoted} = 1\n"),
            format!("[service]\nname = \"shop\" # {}\n", text.replace('\n', " ")),
            format!("[service]\nname = 1 # {text}\n"),
        ] {
            site.write("rollout.toml", lines);
            refused(vec!["status"]).await;
            refused(vec!["check", "--output", "json"]).await;
        }
        site.write("rollout.toml", &payload.bytes);
        refused(vec!["status"]).await;
    }
}

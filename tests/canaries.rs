//! No secret anywhere: a value of its own in every place where the configuration may take one from the environment, a real
//! deployment whose commands, instances and balancers repeat what they were given in every spelling, and then a look into
//! everything that the program wrote, showed, sent or handed on.
//!
//! Imports: the program. May not: sleep.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]

#[path = "outside/canary.rs"]
mod canary;
mod common;
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use canary::{Canaries, Shown, Watch};
use common::wait_for;
use servers::{Asked, Server, response};
use site::{Site, said, words};
use terminal::Terminal;

/// Instances; the update of each fails in its own way.
const COUNT: usize = 13;

/// Says what it was given, in the way of its instance; last on standard error, where the engine looks first.
const UPDATE: &str = r#"
cd "$(dirname "$0")" || exit 99
. ./env.sh
echo "$2" > "$1.tried"
exec 3>&2
say() {
    case "$1" in
    web-01) printf 'user=%s;\nargv %s\n' "$TOKEN" "$2" ;;
    web-02) printf %s "$TOKEN" | base64 ;;
    web-03) printf 'user:%s' "$TOKEN" | base64 -w0; echo; printf 'us:%s' "$TOKEN" | base64 -w0; echo ;;
    web-04) perl -e '$_ = $ENV{TOKEN}; s/([^A-Za-z0-9_.~-])/sprintf("%%%02x", ord $1)/ge; print "$_\n"'
            perl -e '$_ = $ENV{TOKEN}; s/([^A-Za-z0-9_.~ -])/sprintf("%%%02X", ord $1)/ge; s/ /+/g; print "$_\n"'
            printf %s "$TOKEN" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%' ;;
    web-05) sh -c 'set -x; : "$TOKEN"' 2>&1; bash -c 'printf "%q\n" "$TOKEN"; set -x; : "$TOKEN"' 2>&1 ;;
    web-06) printf %s "$TOKEN" | fold -w 30 ;;
    web-07) printf %s "$TOKEN" | od -An -v -tx1 | tr -d ' \n'; echo; printf %s "$TOKEN" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F ;;
    web-08) head -c 170 /dev/zero | tr '\0' x; echo "$TOKEN" ;;
    web-09) perl -MJSON::PP -e 'print JSON::PP->new->ascii->allow_nonref->encode($ENV{TOKEN}), "\n"'; printf '%s\n' "$KEY" ;;
    web-10) printf %s "$TOKEN" | base64 -w0 | tr '+/' '-_' | tr -d '='; echo
            head -c 4000 /dev/zero | tr '\0' ' '; head -c 60 /dev/zero | tr '\0' x; printf '%s\n' "$TOKEN" ;;
    esac
}
say "$1" "$3"
say "$1" "$3" >&2
case "$2" in
*-fail) case "$1" in web-11 | web-12) ;; *) exit 7 ;; esac ;;
*-hang) [ "$1" != web-01 ] || exec sleep 600 ;;
esac
echo "$2" > "$1.version"
"#;

/// Prints the version of an instance; on standard error, what it was given.
const VERSION: &str = r#"cd "$(dirname "$0")" || exit 99
echo "asked with $TOKEN" >&2
case "$(cat "$1.tried")" in
*-fail) echo "$TOKEN" ;;
*) cat "$1.version" ;;
esac
"#;

/// What stands for the program of another driver's key.
const OBSERVE: &str = r#"cd "$(dirname "$0")" || exit 99
echo "looked with $TOKEN" >&2
cat "$1.version"
"#;

fn planted() -> Canaries {
    fn plain(word: &str) -> String {
        word.to_owned()
    }
    fn odd(word: &str) -> String {
        let (one, two) = word.split_at(word.len() / 2);
        format!("{one}\"$'\\ é&+/=%{two}")
    }
    fn lines(word: &str) -> String {
        let (one, two) = word.split_at(word.len() / 2);
        format!("-----BEGIN KEY-----\n{one}\n{two}\n-----END KEY-----\n")
    }
    fn header(word: &str) -> String {
        format!("{word}\"=/+ ;")
    }
    fn url(word: &str) -> String {
        format!("{word}%2f~\"x")
    }
    Canaries::new(&[
        ("UPDATE_TOKEN", odd),
        ("UPDATE_KEY", lines),
        ("UPDATE_ARGUMENT", odd),
        ("HEALTH_PATH", url),
        ("HEALTH_TOKEN", odd),
        ("LB_TOKEN", header),
        ("LB_URL", url),
        ("LB_BODY", plain),
        ("VIP_QUERY", url),
        ("VIP_PASSWORD", plain),
        ("UNRELATED", plain),
    ])
}

/// Everything that the deployment meets.
struct World {
    site: Site,
    canaries: Canaries,
    /// The balancer tells states in words that nobody knows.
    odd: Arc<AtomicBool>,
    _servers: Vec<Server>,
}

/// The balancer: it refuses now and then, and repeats what it was sent.
fn balancer(state: &Path, odd: &AtomicBool, asked: &Asked, number: usize) -> Vec<u8> {
    let (what, rest) = asked.path().trim_start_matches('/').split_once('/').unwrap_or_default();
    let id = rest.split('?').next().unwrap_or_default();
    let said = format!("denied: {} {}", asked.header("authorization"), asked.path());
    let file = state.join(format!("{id}.rotation"));
    match what {
        "state" if odd.load(Ordering::SeqCst) => response("200 OK", b"", asked.header("authorization").as_bytes()),
        "state" => response("200 OK", b"", fs::read_to_string(file).unwrap_or_else(|_| "in".to_owned()).as_bytes()),
        // Every third order.
        _ if number.is_multiple_of(3) => response("409 Conflict", b"", said.as_bytes()),
        _ => {
            fs::write(file, what).expect("a file");
            response("200 OK", b"", said.as_bytes())
        }
    }
}

/// An instance: on a version that fails, web-11 sends its probe away, with the secret.
fn instance(version: &Path, asked: &Asked) -> Vec<u8> {
    let failing = fs::read_to_string(version).is_ok_and(|version| version.contains("fail"));
    let location = format!("Location: http://elsewhere.invalid{}\r\n", asked.path());
    let sent_away = failing && version.ends_with("web-11.version");
    if sent_away { response("302 Found", location.as_bytes(), b"") } else { response("200 OK", b"", b"well") }
}

impl World {
    async fn new() -> Self {
        let canaries = planted();
        let site = Site::new(canaries.env());
        let (odd, orders) = (Arc::<AtomicBool>::default(), AtomicUsize::new(1));
        let (state, is_odd) = (site.path(""), Arc::clone(&odd));
        let lb = Server::start(move |asked| {
            let number = if asked.path().starts_with("/state") { 1 } else { orders.fetch_add(1, Ordering::SeqCst) };
            balancer(&state, &is_odd, asked, number)
        })
        .await;
        let mut servers = Vec::new();
        for number in 1..=COUNT {
            let version = site.path(&format!("web-{number:02}.version"));
            servers.push(Server::start(move |asked| instance(&version, asked)).await);
        }
        let instances: Vec<u16> = servers.iter().map(|server| server.port).collect();
        let requests = AtomicUsize::new(0);
        let vip = Server::start(move |asked| {
            let status = if requests.fetch_add(1, Ordering::SeqCst).is_multiple_of(4) { "500 No" } else { "200 OK" };
            response(status, b"", asked.head.as_bytes())
        })
        .await;
        let ports = [lb.port, vip.port];
        servers.extend([lb, vip]);
        let world = Self { site, canaries, odd, _servers: servers };
        world.write(&instances, ports);
        world
    }

    fn write(&self, instances: &[u16], [lb, vip]: [u16; 2]) {
        let site = &self.site;
        site.write("update.sh", UPDATE);
        site.write("version.sh", VERSION);
        site.write("observe.sh", OBSERVE);
        site.write("env.sh", "export ROLE=update\n");
        let at = site.at();
        let instance = |(number, port): (usize, &u16)| {
            site.write(&format!("web-{number:02}.version"), "v1\n");
            site.write(&format!("web-{number:02}.tried"), "v1\n");
            format!("[[fleet.instance]]\nid = \"web-{number:02}\"\nhost = \"127.0.0.1\"\nport = {port}\n")
        };
        let instances: String = (1..).zip(instances).map(instance).collect();
        let text = format!(
            r#"[service]
name = "shop"
[fleet]
driver = "command"
dir = "{at}/fleet"
{instances}
[update]
command = ["sh", "{at}/update.sh", "{{{{ instance.id }}}}", "{{{{ version }}}}", "${{UPDATE_ARGUMENT}}"]
observe = ["sh", "{at}/observe.sh", "{{{{ instance.id }}}}"]
env = {{ TOKEN = "${{UPDATE_TOKEN}}", KEY = "${{UPDATE_KEY}}", ROLE = "update" }}
stop_timeout = "100ms"
timeout = "30s"
[traffic]
driver = "http"
headers = {{ Authorization = "Bearer ${{LB_TOKEN}}" }}
[traffic.out]
url = "http://127.0.0.1:{lb}/out/{{{{ instance.id }}}}?key=${{LB_URL}}"
body = '{{"key": "${{LB_BODY}}"}}'
[traffic.in]
url = "http://127.0.0.1:{lb}/in/{{{{ instance.id }}}}?key=${{LB_URL}}"
[traffic.state]
url = "http://127.0.0.1:{lb}/state/{{{{ instance.id }}}}?key=${{LB_URL}}"
[drain]
timeout = "100ms"
[health]
path = "/health?key=${{HEALTH_PATH}}"
timeout = "5s"
interval = "100ms"
rise = 1
retries = 2
start_timeout = "5s"
deadline = "20s"
version = {{ command = ["sh", "{at}/version.sh", "{{{{ instance.id }}}}"] }}
env = {{ TOKEN = "${{HEALTH_TOKEN}}", ROLE = "health" }}
[vip]
url = ["http://127.0.0.1:{vip}/?key=${{VIP_QUERY}}", "http://user:${{VIP_PASSWORD}}@127.0.0.1:{vip}/"]
rate = 20
[strategy]
batch_size = 5
batch_pause = "0s"
max_unavailable = 12
min_serving = 1
[rollback]
threshold = "100%"
max_failures = 100
on_failure = "continue"
[journal]
dir = "{at}/journal"
[env.default]
stripe = "green"
"#
        );
        site.write("rollout.toml", text);
    }

    fn log(&self) -> String {
        self.site.read("journal/shop.default/engine.log")
    }

    async fn verb(&self, args: &[&str]) -> Output {
        let output = self.site.run(args).await;
        self.canaries.are_not_in(&args.join(" "), &said(&output));
        output
    }

    /// In both forms.
    async fn verbs(&self, args: &[&str]) {
        self.verb(args).await;
        self.verb(&[args, &["--output", "json"]].concat()).await;
    }
}

/// Whoever may have a value: the program itself, which reads the configuration, and what the configuration gives it to.
fn is_meant(shown: &Shown) -> bool {
    let program = shown.command.starts_with(env!("CARGO_BIN_EXE_rollout"));
    match (shown.place, shown.role.as_str(), shown.canary.as_str()) {
        ("environ", "update", "UPDATE_TOKEN" | "UPDATE_KEY") | ("environ", "health", "HEALTH_TOKEN") => true,
        // Who writes a secret into an argv has been warned. A process that is just being put together has its argv before
        // its environment, and so no role yet.
        ("cmdline", "update" | "", "UPDATE_ARGUMENT") => shown.command.contains("/update.sh "),
        ("environ", "", "UPDATE_TOKEN" | "UPDATE_KEY")
            if ["/observe.sh ", "/update.sh "].iter().any(|own| shown.command.contains(own)) =>
        {
            true
        }
        ("environ", "", _) => program,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_is_stored_shown_sent_or_handed_on() {
    let world = World::new().await;
    let watch = Watch::start(&world.canaries, world.site.path("journal/shop.default/commands"));
    let warned = world.verb(&["check"]).await;
    assert!(words(&warned).contains("puts a variable's value on a command line"), "{}", words(&warned));
    world.verbs(&["plan", "v2"]).await;
    let deployed = world.verb(&["deploy", "v2", "--yes", "--output", "json"]).await;
    assert_eq!(deployed.status.code(), Some(0), "{}", words(&deployed));

    failing(&world).await;
    world.odd.store(true, Ordering::SeqCst);
    world.verbs(&["check"]).await;
    world.verbs(&["plan", "v9"]).await;
    world.verb(&["deploy", "v9", "--yes"]).await;
    world.odd.store(false, Ordering::SeqCst);
    recovered(&world).await;

    for args in [
        &["status"][..],
        &["history"],
        &["show", "1"],
        &["show", "2"],
        &["show", "3"],
        &["events", "1"],
        &["events", "2"],
        &["events", "3"],
    ] {
        world.verbs(args).await;
    }
    let files = world.canaries.are_not_below(&world.site.state());
    assert!(files >= 4, "journal, log, backup: {files}");
    let strange: BTreeSet<Shown> = watch.seen().into_iter().filter(|shown| !is_meant(shown)).collect();
    assert!(strange.is_empty(), "{strange:#?}");

    // All of it was provoked: the log has each of them by its name.
    let log = world.log();
    for name in
        ["UPDATE_TOKEN", "UPDATE_KEY", "UPDATE_ARGUMENT", "HEALTH_PATH", "HEALTH_TOKEN", "LB_TOKEN", "LB_URL", "VIP_QUERY"]
    {
        assert!(log.contains(&format!("${{{name}}}")), "{name}: {log}");
    }
}

/// A deployment in which every update fails in its own way, in a console, with both streams of the socket open.
async fn failing(world: &World) {
    let mut terminal = Terminal::start(world.site.in_terminal(&["deploy", "v3-fail"]));
    terminal.shows("[PLANNED]").await;
    let begun = tokio::join!(world.site.get("/v1/deployment"), world.site.get("/v1/logs"));
    let events = world.site.get("/v1/events?after=0");
    let steered = async {
        terminal.press("s");
        terminal.shows("y start").await;
        wait_for("the answer counts", async || (!terminal.text().contains("(off)")).then_some(())).await;
        terminal.press("y");
        terminal.press("l");
        // web-13 is not taken: somebody must serve.
        for number in 1..COUNT {
            let failed = format!("web-{number:02} FAILED");
            wait_for(&failed, async || world.log().contains(&failed).then_some(())).await;
        }
        let logs = world.site.get("/v1/logs").await;
        let now = world.site.get("/v1/deployment").await;
        world.verbs(&["status"]).await;
        for key in ["l", "n", "\r"] {
            terminal.press(key);
        }
        terminal.shows("web-01").await;
        let seen = terminal.left().await;
        world.verb(&["cancel", "--reason", "enough"]).await;
        (logs, now, seen)
    };
    let (events, (logs, now, (bytes, screens))) = tokio::join!(events, steered);
    for (sink, bytes) in [("snapshot", &begun.0), ("logs", &begun.1), ("events", &events), ("logs", &logs), ("snapshot", &now)] {
        assert!(!bytes.is_empty(), "{sink}");
        world.canaries.are_not_in(sink, bytes);
    }
    world.canaries.are_not_in("the terminal", &bytes);
    world.canaries.are_not_in("the screen", screens.as_bytes());
}

/// An engine dies in the middle, and another takes over.
async fn recovered(world: &World) {
    let begun = world.verb(&["deploy", "v4-hang", "--yes", "--detach"]).await;
    assert_eq!(begun.status.code(), Some(0), "{}", words(&begun));
    wait_for("the update hangs", async || (world.site.read("web-01.tried") == "v4-hang").then_some(())).await;
    world.site.kill_engine().await;
    world.verbs(&["status"]).await;
    let plan = world.verb(&["recover"]).await;
    assert!(words(&plan).contains("continue"), "{}", words(&plan));
    world.verb(&["rollback", "--yes"]).await;
}

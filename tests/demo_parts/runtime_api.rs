//! The proxy's runtime API beside HAProxy's own: the same script to both, and the same answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rollout::demo::haproxy::{HaproxySetup, arguments, config};
use rollout::demo::proxy::{ProxyArgs, ServerArg, serve};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{BOUND, Instance, ask, clock, column, free_port, get, haproxy, receive, send, stat, temp, until};

/// The columns that the proxy keeps, less those that hold a time, and the frontend's, whose client counts here are the test's.
const COMPARED: [&str; 35] = [
    "pxname",
    "svname",
    "qcur",
    "qmax",
    "scur",
    "smax",
    "stot",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "pid",
    "iid",
    "sid",
    "type",
    "lbtot",
    "req_tot",
    "check_status",
    "check_code",
    "hrsp_2xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "cli_abrt",
    "srv_abrt",
    "last_chk",
    "check_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "mode",
    "uweight",
];

/// Both balancers before the same two servers.
struct Both {
    real: PathBuf,
    ours: PathBuf,
    ports: [u16; 2],
    _haproxy: Child,
    _tasks: JoinSet<()>,
}

impl Both {
    async fn start(program: &Path, dir: &Path, servers: &[(String, u16)]) -> Self {
        let (real, ours) = (dir.join("real.sock"), dir.join("ours.sock"));
        let ports = [free_port(), free_port()];
        let file = dir.join("haproxy.cfg");
        let setup = HaproxySetup { admin_socket: &real, port: ports[0], backend: "be_demo", servers, check_ms: 50 };
        fs::write(&file, config(&setup)).unwrap();
        let haproxy = Command::new(program).args(arguments(&file)).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let servers = servers.iter().map(|(name, port)| ServerArg { name: name.clone(), port: *port }).collect();
        let args = ProxyArgs { port: ports[1], admin_socket: ours.clone(), backend: "be_demo".into(), check_ms: 50, servers };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { serve(args, clock).await.unwrap() });
        for socket in [&real, &ours] {
            until("runtime API", || ask(socket, "show info")).await;
        }
        Self { real, ours, ports, _haproxy: haproxy, _tasks: tasks }
    }

    async fn column(&self, server: &str, name: &str, value: &str) {
        for socket in [&self.real, &self.ours] {
            column(socket, server, name, value).await;
        }
    }

    /// The same line to both gives the same answer, to the letter, once the checks under way have ended.
    async fn same(&self, line: &str) {
        settles(async || {
            let real = without_times(&ask(&self.real, line).await.unwrap());
            let ours = without_times(&ask(&self.ours, line).await.unwrap());
            if real == ours { Ok(()) } else { Err(format!("{line}: HAProxy says\n{real}and the proxy\n{ours}")) }
        })
        .await;
    }

    /// Every kept column is the same, once the checks under way have ended.
    async fn same_stat(&self) {
        settles(async || {
            let (real, ours) = (stat(&self.real).await, stat(&self.ours).await);
            assert_eq!(real.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
            for (name, row) in real.iter().filter(|(name, _)| *name != "FRONTEND") {
                for column in COMPARED {
                    let (real, ours) = (&row[column], &ours[name][column]);
                    if real != ours {
                        return Err(format!("{column} of {name}: HAProxy says {real:?}, the proxy {ours:?}"));
                    }
                }
            }
            Ok(())
        })
        .await;
    }
}

/// Asks again until it is right, within a bound; then fails with what was last wrong.
async fn settles(right: impl AsyncFn() -> Result<(), String>) {
    let end = Instant::now() + BOUND;
    while let Err(wrong) = right().await {
        assert!(Instant::now() < end, "{wrong}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Blanks what depends on the moment: in a server's state the seconds since a change (the tenth field), and of one in
/// maintenance its health (the thirteenth).
fn without_times(text: &str) -> String {
    let blank = |line: &str| {
        let mut words: Vec<_> = line.split(' ').collect();
        if words.len() == 25 && words[0] == "3" {
            words[9] = "N";
            // In maintenance no check is made: how far the last one had come depends on the moment at which it began.
            if words[6] == "1" {
                words[12] = "N";
            }
        }
        words.join(" ")
    };
    text.split('\n').map(blank).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one script, line by line")]
async fn the_same_script_gets_the_same_answers() {
    let Some(program) = haproxy() else { return };
    let dir = temp();
    let mut one = Instance::listening(dir.path(), "web-01", "v1").await;
    let two = Instance::listening(dir.path(), "web-02", "v1").await;
    let gone = free_port();
    let servers = [("web-01".to_owned(), one.port), ("web-02".to_owned(), two.port), ("web-03".to_owned(), gone)];
    let both = Both::start(&program, dir.path(), &servers).await;
    for (name, health) in [("web-01", "3"), ("web-02", "3"), ("web-03", "0")] {
        both.column(name, "check_health", health).await;
    }

    let first = |text: &str| text.lines().next().unwrap().to_owned();
    let (real, ours) = (ask(&both.real, "show stat").await.unwrap(), ask(&both.ours, "show stat").await.unwrap());
    assert_eq!(first(&real), first(&ours), "the first line of show stat");
    assert_eq!((&real[real.len() - 3..], &ours[ours.len() - 3..]), (",\n\n", ",\n\n"), "how an answer ends");
    both.same("show servers state").await;
    both.same("show servers state be_demo").await;
    both.same("show backend").await;
    both.same_stat().await;

    for line in [
        "show servers state nope",
        "show stat nope 4 -1",
        "show cli level",
        "set server",
        "set server be_demo",
        "set server be_demo/ state drain",
        "set server be_demo/web-01 state",
        "set server be_demo/web-01 state bogus",
        "set server be_demo/web-09 state drain",
        "set server nope/web-01 state drain",
        "set server be_demo/web-01 weight",
        "set server be_demo/web-01 weight x",
        "set server be_demo/web-01 weight 5x",
        "set server be_demo/web-01 weight 257",
        "set server be_demo/web-01 weight -1",
        "set server be_demo/web-01 weight -5%",
        "set server be_demo/web-09 weight 5",
        "set server be_demo/web-01 weight +7;show servers state be_demo",
        "set server be_demo/web-01 weight 9900%;show servers state be_demo",
        "set server be_demo/web-01 weight 90000%;set server be_demo/web-01 weight 22%;show servers state be_demo",
        "set server be_demo/web-01 weight 100%",
        "set server be_demo/web-09 state ready; show backend",
        "show backend;show servers state be_demo",
        "quit",
    ] {
        both.same(line).await;
    }
    for line in ["bogus", "show servers", ""] {
        for socket in [&both.real, &both.ours] {
            let answer = ask(socket, line).await.unwrap();
            assert!(answer.starts_with("Unknown command") && answer.ends_with("\n\n"), "{line}: {answer}");
        }
    }
    for line in ["show stat be_demo 4 2", "show stat be_demo 6 -1", "show stat -1 2 -1", "show stat 3 4 1"] {
        let mut names = Vec::new();
        for socket in [&both.real, &both.ours] {
            let answer = ask(socket, line).await.unwrap();
            names.push(answer.lines().skip(1).filter_map(|row| row.split(',').nth(1)).map(str::to_owned).collect::<Vec<_>>());
        }
        assert_eq!(names[0], names[1], "{line}");
    }

    // What is shown of weights.
    for [one, two] in [[11, 50], [256, 1], [1, 0], [1, 1]] {
        both.same(&format!("set server be_demo/web-01 weight {one};set server be_demo/web-02 weight {two}")).await;
        both.same("show servers state be_demo").await;
        both.same_stat().await;
    }

    // A request in flight through each, while its server is drained.
    let mut flights = Vec::new();
    for (port, socket) in both.ports.into_iter().zip([&both.real, &both.ours]) {
        ask(socket, "set server be_demo/web-02 state maint").await.unwrap();
        flights.push(send(port, "/slow?ms=1500", "test").await.unwrap());
        column(socket, "web-01", "scur", "1").await;
    }
    both.same("set server be_demo/web-01 state drain").await;
    both.same_stat().await;
    both.same("show servers state be_demo").await;
    for port in both.ports {
        assert_eq!(get(port, "/").await.unwrap().status, 503, "nobody is left to serve");
    }
    for flight in flights {
        assert_eq!(receive(flight).await.unwrap().status, 200);
    }
    both.column("web-01", "scur", "0").await;
    both.same_stat().await;

    // Drained and down, up again while drained, ready, maintenance, ready.
    one.terminate();
    one.child.wait().await.unwrap();
    both.column("web-01", "status", "DOWN").await;
    both.same_stat().await;
    both.same("show servers state").await;
    let _one = Instance::start(dir.path(), "web-01", "v2", servers[0].1);
    both.column("web-01", "status", "DRAIN").await;
    both.same("show servers state").await;
    both.same("set server be_demo/web-01 state ready").await;
    both.column("web-01", "status", "UP").await;
    both.same("set server be_demo/web-02 state ready").await;
    both.column("web-02", "status", "UP").await;
    both.same_stat().await;
    both.same("set server be_demo/web-03 state maint;set server be_demo/web-02 state drain;show servers state be_demo").await;
    both.same_stat().await;

    // What weights are worth. How many sessions overlap is the moment's, so the most there were are not compared any more.
    both.same("set server be_demo/web-01 state ready;set server be_demo/web-02 state ready").await;
    both.column("web-02", "status", "UP").await;
    for [one, two] in [[11_u32, 50], [1, 0], [50, 11]] {
        both.same(&format!("set server be_demo/web-01 weight {one};set server be_demo/web-02 weight {two}")).await;
        for port in both.ports {
            let mut counts = [0_u32, 0];
            for _ in 0..one + two {
                let body = get(port, "/").await.unwrap().body;
                counts[usize::from(body.starts_with("web-02"))] += 1;
            }
            assert!(counts[0].abs_diff(one) <= 1 && counts[1].abs_diff(two) <= 1, "{counts:?} for {one} and {two}");
        }
    }
}

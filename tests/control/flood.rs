//! Many, slow, and strange clients: each has a bound, nobody pays for another, and who was refused is written down.

use std::os::unix::net::UnixStream as Plain;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::*;

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[tokio::test]
async fn each_strange_request_is_answered_by_a_client_error_or_closed() {
    let running = Running::start_within(Limits { request: Duration::from_millis(500), ..Limits::default() });
    let path = running.path();
    let body = |body: &str| format!("POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let deep = body(&format!("{{\"command\":\"pause\",\"reason\":{}", "[".repeat(60_000)));
    let deeper = body(&"{\"command\":".repeat(5_000));
    let long_query = format!("GET /v1/logs?after={} HTTP/1.1\r\nHost: x\r\n\r\n", "1".repeat(40_000));
    let longer_query = format!("GET /v1/logs?after={} HTTP/1.1\r\nHost: x\r\n\r\n", "1".repeat(400_000));
    let headers = format!("GET /v1/logs HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5000));
    let raws: [(&str, &[u8], &[&str]); 13] = [
        ("HTTP/0.9", b"GET /v1/deployment\r\n\r\n", &["400", ""]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &["400", "505", ""]),
        ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", &["400", ""]),
        ("another path", b"GET /v2/deployment HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &["404"]),
        ("another method", b"DELETE /v1/commands HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &["405"]),
        ("a long query", long_query.as_bytes(), &["400", "414"]),
        ("a longer one", longer_query.as_bytes(), &["400", "414", "431"]),
        ("many headers", headers.as_bytes(), &["400", "431"]),
        ("deep lists", deep.as_bytes(), &["400"]),
        ("deep objects", deeper.as_bytes(), &["400"]),
        ("a command twice", b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 39\r\n\r\n{\"command\":\"pause\",\"command\":\"resume\"} ", &["400"]),
        ("a key twice", b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 37\r\n\r\n{\"key\":\"a\",\"key\":\"b\",\"command\":\"pause\"}", &["400"]),
        ("a torn chunk", b"POST /v1/commands HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", &["400"]),
    ];
    for (what, bytes, statuses) in raws {
        let answer = raw(&path, bytes).await;
        let status = answer.strip_prefix("HTTP/1.1 ").map_or("", |rest| &rest[..3]);
        assert!(statuses.contains(&status), "{what}: {answer}");
        assert_eq!(post(&path, r#"{"command":"resume"}"#).await.0, 409, "after {what}");
    }
    assert!(running.engine.requests().iter().all(|request| request.command == Command::Resume));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_a_slow_one_is_given_up() {
    let running = Running::start_within(Limits { request: Duration::from_millis(300), ..Limits::default() });
    let path = running.path();
    let one = "GET /v1/logs HTTP/1.1\r\nHost: x\r\n\r\n";
    let many = format!("{}GET /v1/deployment HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", one.repeat(200));
    let answer = raw(&path, many.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 201);
    // A byte at a time, never silent for long, and never done.
    let mut slow = UnixStream::connect(&path).await.unwrap();
    let (mut sent, begun) = (0, tokio::time::Instant::now());
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while slow.write_all(b"x").await.is_ok() {
        sent += 1;
        ticks.tick().await;
        assert!(begun.elapsed() < BOUND, "{sent} bytes, and it still waits");
    }
    assert!(sent > 5, "it was given time: {sent}");
}

#[tokio::test]
async fn a_thousand_connections_of_one_user_leave_the_others_and_the_engine_alone() {
    let running = Running::start_within(Limits { connections: 256, per_user: 40, ..Limits::default() });
    let path = running.path();
    let mut bystander = running.client().await;
    // The bystander's stream is open before the flood begins.
    running.engine.pause("before");
    assert_eq!(reason_of(&next_event(&mut bystander).await), "before");
    let before = resident();
    let (mut held, mut turned_away) = (Vec::new(), 0);
    for _ in 0..1000 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let mut start = [0; 12];
        let read = tokio::time::timeout(Duration::from_millis(2), stream.read_exact(&mut start)).await;
        if read.is_ok_and(|read| read.is_ok()) {
            assert_eq!(&start, b"HTTP/1.1 503");
            turned_away += 1;
        } else {
            held.push(stream);
        }
    }
    assert!(turned_away > 900, "{turned_away}");
    let answer = raw(&path, b"").await;
    assert!(answer.contains("has 40 connections open") && answer.contains("close some of them"), "{answer}");
    running.engine.pause("during");
    assert_eq!(reason_of(&next_event(&mut bystander).await), "during");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    drop(held);
    let recovered = async {
        while Client::connect_with(&path, hasty()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(recovered).await;
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_nobody_up_and_take_a_bounded_room() {
    let running = Running::start();
    let path = running.path();
    let mut silent = Vec::new();
    for _ in 0..60 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        silent.push(stream);
    }
    let mut bystander = running.client().await;
    let (before, reason) = (resident(), "x".repeat(8000));
    for _ in 0..500 {
        let seq = running.engine.pause(&reason);
        while next_event(&mut bystander).await.seq < seq {}
    }
    // 4 MB of events were kept by the engine; sixty times as much would be theirs.
    let grown = resident().saturating_sub(before);
    assert!(grown < 96 * 1024, "{grown} KiB more");
    drop(silent);
}

#[tokio::test]
async fn ten_thousand_keys_take_a_bounded_room() {
    let running = Running::start();
    let path = running.path();
    let posts = |from: usize, count: usize| {
        let mut all = String::new();
        for n in from..from + count {
            let body = format!("{{\"command\":\"resume\",\"key\":\"{n:0100}\"}}");
            let head = format!("POST /v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
            all.extend([head, body]);
        }
        all + "GET /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    };
    let mut sizes = Vec::new();
    for round in 0..10 {
        let answers = async {
            let stream = UnixStream::connect(&path).await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let all = posts(round * 1000, 1000);
            let sent = tokio::spawn(async move { write.write_all(all.as_bytes()).await });
            let mut answer = String::new();
            read.read_to_string(&mut answer).await.unwrap();
            sent.await.unwrap().unwrap();
            answer
        };
        assert_eq!(within(answers).await.matches("HTTP/1.1 409").count(), 1000);
        sizes.push(resident());
    }
    // The fake engine keeps every request, some 300 bytes each; the ledger keeps the latest thousand.
    let grown = sizes[9].saturating_sub(sizes[1]);
    assert!(grown < 24 * 1024, "{sizes:?}");
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }
}

/// What Eve asks, over and over.
const ASKING: &str = r#"
use IO::Socket::UNIX;
$SIG{PIPE} = 'IGNORE';
my ($path, $count) = @ARGV;
my @open;
for (1..$count) {
    my $socket = IO::Socket::UNIX->new(Peer => $path) or next;
    print $socket "GET /v1/deployment HTTP/1.1\r\nHost: x\r\n\r\n";
    push @open, $socket;
    my $answer = <$socket>;
    print $answer;
}
"#;

#[tokio::test]
async fn another_user_is_refused_written_down_by_name_and_keeps_nobody_out() {
    let running = Running::start_within(Limits { connections: 20, ..Limits::default() });
    let kept = Kept::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(kept.clone()));
    let (dir, path) = (running.dir.path(), running.path());
    // As if the directory had been opened by mistake.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a client of another user (needs root, setpriv and perl; apt install util-linux perl)");
        return;
    }
    let mut eve = tokio::process::Command::new("setpriv");
    eve.args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", ASKING]).arg(&path).arg("200");
    let said = within(eve.output()).await.unwrap();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    // The first few hear that they may not come, all others that there are too many of them.
    assert!((1..=8).contains(&said.matches(" 403 ").count()), "{said}");
    assert!(said.matches(" 503 ").count() > 150 && !said.contains(" 200 "), "{said}");
    let mut ours = running.client().await;
    running.engine.pause("ours");
    assert_eq!(reason_of(&next_event(&mut ours).await), "ours");
    let told =
        || -> Vec<String> { kept.0.lock().unwrap().iter().filter(|line| line.contains("control socket")).cloned().collect() };
    // Her name is looked up while others are served.
    let by_name = |line: &String| line.contains("nobody (uid 65534), process ") && line.contains("only the engine's own user");
    within(async {
        while !told().iter().any(by_name) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let told = told();
    assert!(told.len() < 5, "the log is flooded: {}", told.len());
}

/// The engine's own user gets in while a member of the group holds as many connections as a user may.
#[tokio::test]
async fn a_member_of_the_group_cannot_keep_the_others_out() {
    let dir = private_dir();
    if std::os::unix::fs::chown(dir.path(), None, Some(65_534)).is_err() {
        println!("skipped: a directory of another group (needs root)");
        return;
    }
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    let running = Running::start_in(dir, Limits { connections: 50, per_user: 30, ..Limits::default() });
    let mut member = tokio::process::Command::new("setpriv");
    let holding = format!("{ASKING}\n$| = 1; print \"held\\n\"; <STDIN>;");
    member.args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", &holding]).arg(running.path()).arg("200");
    let mut member = member.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut out = tokio::io::BufReader::new(member.stdout.take().unwrap());
    while !said.ends_with("held\n") {
        assert_ne!(within(tokio::io::AsyncBufReadExt::read_line(&mut out, &mut said)).await.unwrap(), 0, "{said}");
    }
    assert_eq!((said.matches(" 200 ").count(), said.matches(" 503 ").count()), (30, 170));
    let mut ours = running.client().await;
    running.engine.pause("ours");
    assert_eq!(reason_of(&next_event(&mut ours).await), "ours");
    drop(member.stdin.take());
    within(member.wait()).await.unwrap();
}

/// One that takes connections and never answers is told from one that is gone.
#[tokio::test]
async fn silence_is_told_from_absence() {
    let dir = private_dir();
    let path = dir.path().join("engine.sock");
    assert_eq!(rollout::control::answer(&path).await, rollout::control::Answer::None);
    let listener = UnixListener::bind(&path).unwrap();
    let rollout::control::Answer::Silent(said) = within(rollout::control::answer(&path)).await else { panic!("it answered") };
    let pid = std::process::id();
    assert!(said.contains(&format!("process {pid} listens at")) && said.contains(&format!("--steal {pid}")), "{said}");
    // With nobody to accept them the line fills up; then one more must not be waited for.
    let mut line = Vec::new();
    while line.len() < 5000 {
        let connected = tokio::time::timeout(Duration::from_millis(50), UnixStream::connect(&path)).await;
        match connected {
            Ok(Ok(stream)) => line.push(stream),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    let asked = tokio::task::spawn_blocking({
        let path = path.clone();
        move || engine_pid(&path)
    });
    within(asked).await.unwrap();
    drop(listener);
    assert!(Plain::connect(&path).is_err());
    let running = Running::start();
    assert_eq!(rollout::control::answer(&running.path()).await, rollout::control::Answer::Some);
}

//! Programs on a host: quoting, exit codes, output, groups that end, links that are lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rollout::os::child::{End, Finished};
use rollout::os::ssh::{self, Pool, Run};
use tokio::time::Instant;

use crate::common::wait_for;
use crate::sshd::{Hosts, clients};

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(argv: &[String], within: Duration) -> Run<'_> {
    Run {
        about: "web-1",
        argv,
        env: &[],
        deadline: Instant::now() + within,
        grace: Duration::from_millis(300),
        may_leave: false,
        fence: None,
        input: None,
    }
}

const LONG: Duration = Duration::from_secs(20);

async fn sh(pool: &Pool, script: &str) -> Finished {
    pool.run("host-1", run(&argv(&["sh", "-c", script]), LONG)).await.unwrap()
}

/// The process whose id a program wrote.
async fn pid(file: &Path) -> i32 {
    wait_for("a pid", async || fs::read_to_string(file).ok()?.trim().parse().ok()).await
}

fn alive(pid: i32) -> bool {
    rollout::os::process::stat(pid).is_some_and(|stat| !stat.zombie)
}

async fn gone(pid: i32) {
    wait_for("the program on the host is gone", async || (!alive(pid)).then_some(())).await;
}

#[tokio::test]
async fn what_a_program_says_and_how_it_ends_comes_back() {
    let Some(hosts) = Hosts::start(1) else { return };
    let pool = Pool::new(hosts.options());
    let finished = sh(&pool, "echo out; echo err >&2; exit 7").await;
    assert_eq!((finished.end, finished.stdout.as_slice(), finished.whole), (End::Exit(7), b"out\n".as_slice(), true));
    assert_eq!(finished.words(), "exit code 7: err");
    assert_eq!(sh(&pool, "kill -9 $$").await.end, End::Signal(9));
    assert_eq!(sh(&pool, "exit 255").await.end, End::Exit(255));
    let finished = pool.run("host-1", run(&argv(&["/no/such/program"]), LONG)).await.unwrap();
    assert_eq!(finished.end, End::Exit(127));
    assert!(finished.words().contains("not found"), "{}", finished.words());
    let finished = sh(&pool, "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\033[2Jlast\\007\\n' >&2").await;
    assert_eq!((finished.end, finished.stdout.len(), finished.whole), (End::Exit(0), 64 * 1024, false));
    assert!(!finished.words().contains(['\u{1b}', '\u{7}']), "{}", finished.words());
    assert_eq!(sh(&pool, "cat").await.stdout, b"", "it reads nothing");
    assert_eq!(clients(&hosts.path("ssh_config")).len(), 1, "one connection for all of them");
    drop(pool);
    wait_for("no client is left", async || clients(&hosts.path("ssh_config")).is_empty().then_some(())).await;
}

/// The audited quoting, by a real sh: whatever goes in comes out.
#[tokio::test]
async fn arguments_and_environment_arrive_as_they_are() {
    let Some(hosts) = Hosts::start(1) else { return };
    let pool = Pool::new(hosts.options());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let nasty = [
        "'",
        "\"",
        "$(touch /tmp/x)",
        "`id`",
        "\\",
        "\n",
        "\r",
        "\t",
        " ",
        "!",
        "*",
        "~",
        "#",
        ";",
        "&",
        "|",
        "<",
        "-",
        "--",
        "-oProxyCommand=x",
        "ü",
        "日",
        "\u{85}",
        "\u{1}",
        "\u{7f}",
        "\u{2028}",
        "$n",
        "${HOME}",
        "\\n",
        "=",
        "%s",
        "{a,b}",
    ];
    for round in 0..40 {
        let mut word = || -> String {
            let piece = |_: u64| match random(3) {
                0 => nasty[usize::try_from(random(nasty.len() as u64)).unwrap()].to_owned(),
                _ => char::from_u32(u32::try_from(1 + random(0x2ff)).unwrap()).unwrap_or('x').to_string(),
            };
            let length = [0, 1, 3, 30][round % 4];
            (0..length).map(piece).collect()
        };
        let words: Vec<String> = (0..12).map(|_| word()).collect();
        let value = word();
        let mut all = argv(&["sh", "-c", "printf '%s\\0' \"$VALUE\" \"$@\"", "sh"]);
        all.extend(words.iter().cloned());
        let env = [("VALUE".to_owned(), value.clone())];
        let finished = pool.run("host-1", Run { env: &env, ..run(&all, LONG) }).await.unwrap();
        let expected: String = std::iter::once(&value).chain(&words).map(|word| format!("{word}\0")).collect::<Vec<_>>().concat();
        assert_eq!(String::from_utf8(finished.stdout).unwrap(), expected, "{:?}", finished.end);
    }
    let error = pool.run("host-1", run(&argv(&["echo", "a\0b"]), LONG)).await.unwrap_err();
    assert!(error.contains("NUL"), "{error}");
    for bad in ["-oProxyCommand=touch /tmp/x", "", "a b", "a\nb"] {
        let error = pool.run(bad, run(&argv(&["true"]), LONG)).await.unwrap_err();
        assert!(error.contains("no name of a host"), "{error}");
    }
}

/// Every quoted word, read by the shells that are here, without a host between.
#[test]
fn quoting_is_read_alike_by_every_shell() {
    let words: Vec<String> = (1..0x250_u32).filter_map(char::from_u32).map(|c| format!("{c}a{c}{c}'\"{c}")).collect();
    let line: String = words.iter().map(|word| ssh::quote(word) + " ").collect();
    assert!(!line.contains('\n'));
    let read = "n=\"$(printf \"\\nx\")\"; rollout_n=\"${n%x}\" rollout_a=\"$(printf \"\\001\")\" rollout_d=\"$(printf \"\\177\")\"; \
                IFS= read -r l; eval \"set -- $l\"; printf '%s\\0' \"$@\"";
    let expected: String = words.iter().map(|word| format!("{word}\0")).collect::<Vec<_>>().concat();
    let mut seen = 0;
    for shell in ["sh", "dash", "bash", "busybox"].into_iter().filter(|shell| Path::new("/bin").join(shell).exists()) {
        let mut command = std::process::Command::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        command.args(["-c", read]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = format!("{line}\n");
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, text.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.stdout == expected.as_bytes(), "{shell}: {}", String::from_utf8_lossy(&output.stdout));
        seen += 1;
    }
    assert!(seen > 0);
}

/// A group that ignores SIGTERM, with a child, and where each writes its id.
fn stubborn(file: &Path) -> String {
    let file = file.display();
    format!("trap '' TERM; sleep 1000 & echo $! >{file}.child; echo $$ >{file}; wait; wait; sleep 1000")
}

#[tokio::test]
async fn a_group_ends_with_its_step_however_that_is_given_up() {
    let Some(hosts) = Hosts::start(1) else { return };
    let pool = Pool::new(hosts.options());
    sh(&pool, "true").await;
    // Out of time.
    let file = hosts.path("late");
    let began = Instant::now();
    let late = argv(&["sh", "-c", &stubborn(&file)]);
    let finished = pool.run("host-1", run(&late, Duration::from_secs(1))).await.unwrap();
    assert_eq!((finished.end, finished.left), (End::Deadline, None));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // It is confirmed, so nothing needs to be waited for.
    assert!(!alive(pid(&file).await) && !alive(pid(&hosts.path("late.child")).await));
    // Dropped.
    let file = hosts.path("dropped");
    let dropped = argv(&["sh", "-c", &stubborn(&file)]);
    {
        let mut running = Box::pin(pool.run("host-1", run(&dropped, LONG)));
        tokio::select! {
            _ = &mut running => panic!("it runs for long"),
            pid = pid(&file) => assert!(alive(pid)),
        }
    }
    ssh::stopped(Some("web-1")).await;
    assert!(!alive(pid(&file).await) && !alive(pid(&hosts.path("dropped.child")).await));
    // A grandchild that stays.
    let file = hosts.path("left");
    let script = format!("sleep 1000 & echo $! >{}", file.display());
    let finished = sh(&pool, &script).await;
    assert_eq!((finished.end, finished.left), (End::Exit(0), Some("processes of its group")));
    assert!(!alive(pid(&file).await), "nothing may stay of it");
    let leaves = argv(&["sh", "-c", &script.replace('&', ">/dev/null 2>&1 &")]);
    let finished = pool.run("host-1", Run { may_leave: true, ..run(&leaves, LONG) }).await.unwrap();
    assert_eq!(finished.end, End::Exit(0));
    let service = pid(&file).await;
    assert!(alive(service), "a service stays");
    rustix::process::kill_process(rustix::process::Pid::from_raw(service).unwrap(), rustix::process::Signal::KILL).unwrap();
    // One in a group of its own that holds the output costs a moment, no more.
    let began = Instant::now();
    let finished = sh(&pool, &format!("setsid sleep 1000 & echo $! >{}; exit 3", file.display())).await;
    assert_eq!(finished.end, End::Exit(3));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // It may have been in its first group still, and ended with that.
    let escaped = rustix::process::Pid::from_raw(pid(&file).await).unwrap();
    rustix::process::kill_process(escaped, rustix::process::Signal::KILL).ok();
}

#[tokio::test]
async fn a_lost_link_is_an_unknown_outcome_and_its_group_ends() {
    let Some(hosts) = Hosts::start(1) else { return };
    let pool = Pool::new(hosts.options());
    for how in ["client", "server"] {
        let file = hosts.path(how);
        let script = argv(&["sh", "-c", &stubborn(&file)]);
        let cut = async {
            let pid = pid(&file).await;
            if how == "client" {
                for client in clients(&hosts.path("ssh_config")) {
                    rustix::process::kill_process(client, rustix::process::Signal::KILL).unwrap();
                }
            } else {
                for session in hosts.sessions(0) {
                    rustix::process::kill_process(session, rustix::process::Signal::KILL).unwrap();
                }
            }
            pid
        };
        let (finished, pid) = tokio::join!(pool.run("host-1", run(&script, LONG)), cut);
        let finished = finished.unwrap();
        assert_eq!(finished.end, End::Lost, "{how}: {}", finished.words());
        assert!(finished.words().starts_with("the link to its host was lost"), "{}", finished.words());
        gone(pid).await;
        assert_eq!(sh(&pool, "echo back").await.stdout, b"back\n", "a new connection is made by itself");
    }
}

/// What was given up does not take effect behind the back of what follows.
#[tokio::test]
async fn a_fence_ends_what_an_earlier_step_left_running() {
    let Some(hosts) = Hosts::start(1) else { return };
    let (pool, other) = (Pool::new(hosts.options()), Pool::new(hosts.options()));
    let file = hosts.path("fenced");
    let script = argv(&["sh", "-c", &stubborn(&file)]);
    let fence = Some("shop.web-1");
    let first = pool.run("host-1", Run { fence, ..run(&script, LONG) });
    let second = async {
        let old = pid(&file).await;
        let check = argv(&["sh", "-c", &format!("kill -0 {old} 2>/dev/null && echo there || echo gone")]);
        let finished = other.run("host-1", Run { fence, ..run(&check, LONG) }).await.unwrap();
        assert_eq!(finished.stdout, b"gone\n", "{}", finished.words());
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.unwrap().end, End::Signal(9));
    assert_eq!(fs::read_dir(hosts.home().join(".local/state/rollout/steps")).unwrap().count(), 0, "and nothing is left of it");
}

#[tokio::test]
async fn an_input_is_fed_to_its_end() {
    let Some(hosts) = Hosts::start(1) else { return };
    let pool = Pool::new(hosts.options());
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let file = hosts.path("fed");
    let cat = argv(&["sh", "-c", &format!("cat >{}", file.display())]);
    let input = Some(Box::new(std::io::Cursor::new(bytes.clone())) as Box<_>);
    let finished = pool.run("host-1", Run { input, ..run(&cat, LONG) }).await.unwrap();
    assert_eq!(finished.end, End::Exit(0), "{}", finished.words());
    assert!(fs::read(&file).unwrap() == bytes);
}

/// The log of ssh says why, and nothing is accepted on the way.
#[tokio::test]
async fn a_host_that_does_not_let_us_in_is_told_at_once_with_the_remedy() {
    let Some(mut hosts) = Hosts::start(1) else { return };
    let known = fs::read(hosts.path("known_hosts")).unwrap();
    let told = async |hosts: &Hosts| {
        let began = Instant::now();
        let error = Pool::new(hosts.options()).run("host-1", run(&argv(&["true"]), LONG)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        assert_eq!(clients(&hosts.path("ssh_config")).len(), 0);
        error
    };
    // An unknown key.
    fs::write(hosts.path("known_hosts"), "").unwrap();
    let error = told(&hosts).await;
    assert!(error.contains("Host key verification failed") && error.contains("ssh-keyscan"), "{error}");
    assert_eq!(fs::read(hosts.path("known_hosts")).unwrap(), b"", "it is not accepted");
    // Another key than before.
    fs::write(hosts.path("known_hosts"), &known).unwrap();
    hosts.down(0);
    hosts.key("host-1");
    hosts.up(0);
    hosts.wait();
    let error = told(&hosts).await;
    assert!(error.contains("another key than before") && error.contains("ssh-keygen -R"), "{error}");
    assert_eq!(fs::read(hosts.path("known_hosts")).unwrap(), known);
    hosts.know();
    // A key of ours that it does not know: it would ask for a password.
    hosts.key("stranger");
    fs::copy(hosts.path("stranger"), hosts.path("key")).unwrap();
    let error = told(&hosts).await;
    assert!(error.contains("Permission denied") && error.contains("ssh-add"), "{error}");
    // Nobody listens.
    hosts.down(0);
    let error = told(&hosts).await;
    assert!(error.contains("Connection refused"), "{error}");
}

/// A host that takes a connection and says nothing.
#[tokio::test]
async fn a_silent_host_costs_its_timeout_and_no_more() {
    let Some(hosts) = Hosts::start(1) else { return };
    let silent = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    hosts.write_config(&format!("Host host-1\n  Port {}\n", silent.local_addr().unwrap().port()));
    let options = ssh::Options { connect_timeout: Duration::from_secs(1), ..hosts.options() };
    let began = Instant::now();
    let error = Pool::new(options).run("host-1", run(&argv(&["true"]), LONG)).await.unwrap_err();
    assert!(error.contains("host-1: "), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    wait_for("no client is left", async || clients(&hosts.path("ssh_config")).is_empty().then_some(())).await;
}

/// Many names at once: each costs two open files while it is held, and few more run at once, so that 200 fit into the 1024
/// that a login usually has.
#[tokio::test]
async fn many_hosts_at_once_need_two_open_files_each() {
    let Some(hosts) = Hosts::start(1) else { return };
    let count = std::env::var("ROLLOUT_TEST_HOSTS").ok().and_then(|count| count.parse().ok()).unwrap_or(40_usize);
    let (at, key) = (&hosts.all[0], hosts.path("key"));
    let (address, port, known) = (at.address, at.port, hosts.path("known_hosts"));
    hosts.write_config(&format!(
        "Host many-*\n  HostName {address}\n  Port {port}\n  HostKeyAlias [{address}]:{port}\n  IdentityFile {}\n  \
         UserKnownHostsFile {}\n",
        key.display(),
        known.display()
    ));
    let pool = Pool::new(ssh::Options { connect_timeout: Duration::from_mins(1), ..hosts.options() });
    let files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let words = argv(&["sh", "-c", "echo there"]);
    let names: Vec<String> = (0..count).map(|n| format!("many-{n}")).collect();
    let all = || futures::future::join_all(names.iter().map(|name| pool.run(name, run(&words, Duration::from_mins(3)))));
    let before = files();
    let mut most = 0;
    for round in 0..2 {
        let mut all = Box::pin(all());
        let ended = loop {
            tokio::select! {
                ended = &mut all => break ended,
                () = tokio::time::sleep(Duration::from_millis(2)) => most = most.max(files()),
            }
        };
        for (name, ended) in names.iter().zip(ended) {
            assert_eq!(ended.unwrap_or_else(|why| panic!("{name}, {round}: {why}")).stdout, b"there\n");
        }
    }
    let held = files() - before;
    assert!(held <= 2 * count + 10, "{held} are held");
    assert!(most - before <= 2 * count + 240, "{most} at most, {before} before");
    assert_eq!(clients(&hosts.path("ssh_config")).len(), count, "and nobody was connected twice");
}

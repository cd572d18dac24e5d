//! One program on one host, from its order to its end.
//!
//! Imports: os' child, its siblings. May not: judge an exit code, connect (that is `pool`).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use openssh::Stdio;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::child::{Captured, End, Finished, OUTPUT_BYTES_MAX, WAITING};
use super::master::Master;
use super::pool::Inner;
use super::quote::{quote, quote_script};
use super::{Run, WRAPPER};

type Child = openssh::Child<Arc<openssh::Session>>;

/// For what comes a moment later than it should.
const DRAIN: Duration = Duration::from_millis(200);
/// Beyond its grace, for the host to say that a program has ended.
const CONFIRM: Duration = Duration::from_secs(6);
/// Beyond its deadline, for what it is told here to arrive there before its own clock ends it.
const LATE: Duration = Duration::from_secs(2);
/// A shell's exit code for a program that a signal ended is this much more than the signal.
const SIGNALLED: std::ops::RangeInclusive<i32> = 129..=159;

/// Programs that nobody waits for any more, by the name on whose account they run.
static STOPPING: LazyLock<watch::Sender<HashMap<String, usize>>> = LazyLock::new(watch::Sender::default);

/// Waits until every program that was given up has ended: those of `about`, or all. Each is waited for at most its grace
/// and a few seconds.
pub async fn stopped(about: Option<&str>) {
    let over = |stopping: &HashMap<String, usize>| !stopping.keys().any(|name| about.is_none_or(|about| about == name));
    // The other end is a static: it does not go away.
    drop(STOPPING.subscribe().wait_for(over).await);
}

/// What is known of a run without its caller.
struct Order {
    about: String,
    mark: String,
    line: String,
    deadline: Instant,
    grace: Duration,
    input: Option<Box<dyn AsyncRead + Send + Unpin>>,
}

/// Runs it in a task of its own, which ends it also where nobody waits for it any more.
pub(super) async fn run(pool: Arc<Inner>, host: &str, run: Run<'_>) -> Result<Finished, String> {
    let mark = format!("rollout-{}", Uuid::now_v7().simple());
    let line = line(&run, &mark)?;
    let Run { about, deadline, grace, input, .. } = run;
    let order = Order { about: about.to_owned(), mark, line, deadline, grace, input };
    let stop = CancellationToken::new();
    let task = WAITING.spawn(carry_out(pool, host.to_owned(), order, stop.clone()));
    let _stopper = Stopper { about: about.to_owned(), stop };
    task.await.map_err(|e| format!("what came of it was lost: {e}"))?
}

/// Tells the task to end its program, and counts it as stopping from that moment on.
struct Stopper {
    about: String,
    stop: CancellationToken,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        // One whose task is over has cancelled it itself.
        if !self.stop.is_cancelled() {
            STOPPING.send_modify(|stopping| *stopping.entry(self.about.clone()).or_default() += 1);
            self.stop.cancel();
        }
    }
}

/// The line that the script reads. It has no NUL and no newline.
fn line(run: &Run<'_>, mark: &str) -> Result<String, String> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let flag = |is: bool| if is { "1" } else { "" }.to_owned();
    let left = run.deadline.saturating_duration_since(Instant::now()) + LATE;
    let head = [
        mark.to_owned(),
        run.fence.unwrap_or_default().to_owned(),
        millis(run.grace).div_ceil(100).to_string(),
        millis(left).div_ceil(1000).to_string(),
        flag(run.may_leave),
        flag(run.input.is_some()),
        run.env.len().to_string(),
    ];
    let env = run.env.iter().map(|(name, value)| format!("{name}={value}"));
    let words: Vec<String> = head.into_iter().chain(env).chain(run.argv.iter().cloned()).collect();
    if words.iter().any(|word| word.contains('\0')) {
        return Err("an argument with a NUL cannot be passed on".to_owned());
    }
    Ok(words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ") + "\n")
}

/// Marks a run that was given up as ended, however its task ends.
struct Ending {
    about: String,
    stop: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.stop.is_cancelled() {
            STOPPING.send_modify(|stopping| {
                if let Some(left) = stopping.get_mut(&self.about) {
                    *left -= 1;
                    if *left == 0 {
                        stopping.remove(&self.about);
                    }
                }
            });
        } else {
            self.stop.cancel();
        }
    }
}

async fn carry_out(pool: Arc<Inner>, host: String, order: Order, stop: CancellationToken) -> Result<Finished, String> {
    let _ending = Ending { about: order.about.clone(), stop: stop.clone() };
    let begun = tokio::select! {
        biased;
        () = stop.cancelled() => return Err("it was given up before it began".to_owned()),
        begun = timeout_at(order.deadline, begin(&pool, &host)) => begun,
    };
    let late = || "it was not started in time: the host does not answer, or too much else runs".to_owned();
    let (_room, _own_room, master, child) = begun.map_err(|_| late())??;
    let running = Running::new(child, &order.mark).ok_or("the session has no input")?;
    let (finished, sure) = running.carry_out(order, &stop, &master.over).await;
    if !sure {
        // Whatever is wrong with the link, nothing else depends on it.
        pool.lost(&host, &master).await;
        // For ssh to write down why, if it knows.
        timeout(DRAIN, master.over.cancelled()).await.ok();
    }
    if let (End::Lost, words) = (finished.end, master.last_words())
        && !words.is_empty()
    {
        return Ok(finished.with_last_words(words));
    }
    Ok(finished)
}

/// Room, a connection, and the script on the host that waits for its line. Nothing has happened if it fails.
async fn begin<'a>(
    pool: &'a Inner,
    host: &str,
) -> Result<(tokio::sync::SemaphorePermit<'a>, tokio::sync::OwnedSemaphorePermit, Arc<Master>, Child), String> {
    let closed = |e: tokio::sync::AcquireError| e.to_string();
    loop {
        let master = pool.master(host).await?;
        let own_room = Arc::clone(&master.room).acquire_owned().await.map_err(closed)?;
        let room = pool.room.acquire().await.map_err(closed)?;
        if master.over.is_cancelled() {
            // It was lost while we waited for room.
            pool.lost(host, &master).await;
            continue;
        }
        let script = script();
        let mut command = Arc::clone(&master.session).arc_raw_command(format!("exec sh -c {} rollout", quote_script(&script)));
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await;
        match spawned {
            Ok(child) => return Ok((room, own_room, master, child)),
            Err(_) if master.over.is_cancelled() => pool.lost(host, &master).await,
            Err(e) => {
                pool.lost(host, &master).await;
                let why = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
                return Err(format!("ssh opens no session: {why}"));
            }
        }
    }
}

/// What is sent of the script.
fn script() -> String {
    WRAPPER.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// A program on its way.
struct Running {
    /// Not asked how it ended: that answer may come before the last of what was printed, and ends it.
    child: Child,
    stdin: openssh::ChildStdin,
    outputs: Outputs,
}

/// What comes from it, up to its last words.
struct Outputs {
    mark: Vec<u8>,
    stdout: Captured<openssh::ChildStdout>,
    stderr: Captured<openssh::ChildStderr>,
    /// In both: exit code, and whether it left something.
    last: (Option<String>, Option<String>),
}

/// How waiting ended.
#[derive(PartialEq, Eq)]
enum Over {
    Ended,
    Lost,
    Late,
    Stopped,
}

impl Running {
    fn new(mut child: Child, mark: &str) -> Option<Self> {
        let (stdin, stdout, stderr) = (child.stdin().take()?, child.stdout().take(), child.stderr().take());
        let (stdout, stderr) = (Captured::new(stdout, OUTPUT_BYTES_MAX), Captured::new(stderr, OUTPUT_BYTES_MAX));
        let mark = format!("\n{mark} ").into_bytes();
        Some(Self { child, stdin, outputs: Outputs { mark, stdout, stderr, last: (None, None) } })
    }

    /// From its line to its end; false if the host did not confirm that.
    async fn carry_out(self, order: Order, stop: &CancellationToken, lost: &CancellationToken) -> (Finished, bool) {
        let Self { child, stdin, mut outputs } = self;
        let Order { line, deadline, grace, input, .. } = order;
        // What is fed to it goes on beside the waiting, and its end closes the input.
        let close = CancellationToken::new();
        let feeder = input.is_some();
        let feeding = WAITING.spawn(feed(stdin, line, input, close.clone()));
        let over = tokio::select! {
            biased;
            () = outputs.read_to_end() => Over::Ended,
            () = lost.cancelled() => Over::Lost,
            () = stop.cancelled() => Over::Stopped,
            () = sleep_until(deadline) => Over::Late,
        };
        if let Over::Late | Over::Stopped = over {
            close.cancel();
            tokio::select! {
                ended = timeout(grace + CONFIRM, outputs.read_to_end()) => drop(ended),
                () = lost.cancelled() => {}
            }
        }
        let fed = !feeder || matches!(timeout(DRAIN, feeding).await, Ok(Ok(Ok(()))));
        close.cancel();
        // The outputs that were read are all that it can tell.
        drop(child);
        let Outputs { stdout, stderr, last, .. } = outputs;
        let said = last.0.zip(last.1).and_then(|(said, _)| said.split_once(' ').map(|(c, l)| (c.parse().ok(), !l.is_empty())));
        let end = match (&over, said) {
            (Over::Late | Over::Stopped, _) => End::Deadline,
            (Over::Ended | Over::Lost, Some((Some(code), _))) => end_of(code, fed),
            (Over::Ended | Over::Lost, _) => End::Lost,
        };
        let left = match (end, said) {
            (End::Deadline, None) => Some("what the host did not confirm to have ended"),
            (_, Some((_, true))) => Some("processes of its group"),
            _ => None,
        };
        (Finished::of(end, stdout, stderr, left), said.is_some())
    }
}

impl Outputs {
    /// Until both have said their last words, or are closed.
    async fn read_to_end(&mut self) {
        while self.stdout.is_open() || self.stderr.is_open() {
            tokio::select! {
                () = self.stdout.step() => self.last.0 = self.stdout.cut_at(&self.mark).or_else(|| self.last.0.take()),
                () = self.stderr.step() => self.last.1 = self.stderr.cut_at(&self.mark).or_else(|| self.last.1.take()),
            }
        }
    }
}

/// Writes the line and what follows, then holds the input open, if nothing follows, until it is to close.
async fn feed(
    mut stdin: openssh::ChildStdin,
    line: String,
    input: Option<Box<dyn AsyncRead + Send + Unpin>>,
    close: CancellationToken,
) -> io::Result<()> {
    tokio::select! {
        () = close.cancelled() => Ok(()),
        fed = async {
            stdin.write_all(line.as_bytes()).await?;
            match input {
                Some(mut input) => tokio::io::copy(&mut input, &mut stdin).await.map(drop),
                None => std::future::pending().await,
            }
        } => fed,
    }
}

fn end_of(code: i32, fed: bool) -> End {
    match code {
        code if SIGNALLED.contains(&code) => End::Signal(code - 128),
        // It may have taken the end of what could not be read here for the end of all.
        0 if !fed => End::Lost,
        code => End::Exit(code),
    }
}

//! A steady stream of requests through the balancer: the proof that users noticed nothing.
//!
//! Imports: ports, model, os. May not: know another kind of adapter, repeat a request.
//!
//! **Open loop.** Requests start by the clock, whether or not earlier ones have been answered, as those of users do.
//!
//! **What counts as failed:** no connection, no answer, a broken-off one, a status other than 2xx and 3xx, a body that
//! does not end within ten seconds of the start; and a request that could not be started because as many as there is
//! room for were still unanswered: a user's request would have hung too.
//!
//! **Nothing is repeated**, with one exception that is not ours to switch off: reqwest does not expose hyper-util's
//! `retry_canceled_requests`, so a request that was handed to an idle keep-alive connection, of which *not one byte was
//! written* because the other side had already closed it, goes out on another connection, as it does with every browser.
//! hyper hands back only requests that it never began to write. A connection that breaks after that is a failure, on
//! new and on kept connections alike. Retries of reqwest's own are off (`os::http`).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use hdrhistogram::Histogram;
use reqwest::header::CONNECTION;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::VipSettings;
use crate::model::VipStats;
use crate::os::{failpoint, http, process, text, tls};
use crate::ports::VipProber;

/// The longest that a request may take, its body included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// At least so many requests may be unanswered at once.
const IN_FLIGHT_MIN: u64 = 500;
/// Failures that are kept in words until they are handed out.
const FAILURES_KEPT: usize = 20;
/// Of the histogram, in microseconds: no request takes longer than its time-out.
const LATENCY_MAX: u64 = 60_000_000;
/// Of the histogram: three digits suffice for latencies.
const LATENCY_DIGITS: u8 = 3;

/// The probe. Dropped, it stops at once; [`VipProber::stop`] lets what is under way finish and counts it.
pub(super) struct VipProbe {
    requester: Arc<Requester>,
    rate: u32,
    /// Ends the starting of requests.
    stopping: CancellationToken,
    /// Cancelled when the last request has ended.
    ended: CancellationToken,
    /// There once it has begun.
    pacer: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What has been counted so far.
struct Tally {
    requests: u64,
    failed: u64,
    /// Of the successes, in microseconds: a refusal takes no time, and would make a bad service look fast.
    latencies: Histogram<u64>,
    /// Failures not handed out yet, oldest first.
    failures: VecDeque<String>,
    /// Failures that found no room among them.
    unlisted: u64,
}

/// What a request needs.
struct Requester {
    urls: Vec<Url>,
    /// Opens a connection for each request.
    fresh: Client,
    /// Keeps connections open.
    kept: Client,
    tally: Mutex<Tally>,
}

impl VipProbe {
    /// Checks addresses and rate.
    pub(super) fn new(settings: &VipSettings) -> Result<Self, String> {
        if !(1..=10_000).contains(&settings.rate) {
            return Err(format!("[vip] rate: {} is not within 1 to 10000 requests a second", settings.rate));
        }
        let urls = settings.urls.iter().map(|url| read_url(url)).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err("[vip] url: at least one is needed".to_owned());
        }
        let roots = settings.ca_file.as_deref().map(read_roots).transpose().map_err(|why| format!("[vip] {why}"))?;
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX, LATENCY_DIGITS).map_err(|e| e.to_string())?;
        let tally = Tally { requests: 0, failed: 0, latencies, failures: VecDeque::new(), unlisted: 0 };
        let trusted = |builder: ClientBuilder| match &roots {
            Some(roots) => builder.tls_certs_only(roots.clone()),
            None => builder,
        };
        let requester = Requester {
            urls,
            fresh: http::client(|builder| trusted(builder.pool_max_idle_per_host(0)))?,
            kept: http::client(trusted)?,
            tally: Mutex::new(tally),
        };
        Ok(Self {
            requester: Arc::new(requester),
            rate: settings.rate,
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            pacer: Mutex::new(None),
        })
    }
}

impl VipProber for VipProbe {
    fn start(&self) {
        let mut pacer = lock(&self.pacer);
        if pacer.is_none() {
            let (requester, rate, stopping) = (Arc::clone(&self.requester), self.rate, self.stopping.clone());
            let ended = self.ended.clone().drop_guard();
            *pacer = Some(AbortOnDropHandle::new(tokio::task::spawn(async move {
                pace(requester, rate, stopping).await;
                drop(ended);
            })));
        }
    }

    fn stats(&self) -> Option<VipStats> {
        lock(&self.pacer).as_ref().map(|_begun| lock(&self.requester.tally).stats())
    }

    fn failures(&self) -> Vec<String> {
        lock(&self.requester.tally).hand_out()
    }

    /// Takes ten seconds at the longest. Dropped, it has stopped the starting of requests; calling again waits again.
    fn stop(&self) -> BoxFuture<'_, Option<VipStats>> {
        Box::pin(async {
            self.stopping.cancel();
            let begun = lock(&self.pacer).is_some();
            if begun {
                self.ended.cancelled().await;
            }
            self.stats()
        })
    }
}

/// Starts requests by the clock until told to stop, then waits for the last ones.
async fn pace(requester: Arc<Requester>, rate: u32, stopping: CancellationToken) {
    let room = in_flight_max(rate);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    // After a stall of ours the missed requests are made up for: the rate is a promise over the whole run.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut requests = JoinSet::new();
    let mut number = 0_usize;
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = requests.join_next() => note_panic(&ended),
            _ = ticks.tick() => {
                if requests.len() < room {
                    let requester = Arc::clone(&requester);
                    requests.spawn(async move { requester.request(number).await });
                } else {
                    requester.fail(format!("not sent: {room} requests are unanswered"));
                }
                number = number.wrapping_add(1);
                failpoint::hit("task.vip", number as u64);
            }
        }
    }
    while let Some(ended) = requests.join_next().await {
        note_panic(&ended);
    }
}

fn note_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended {
        tracing::error!("a request of the VIP probe was not counted: {e}");
    }
}

/// Room for the requests of one second, within half of what this process may open: the other half is for the journal,
/// the drivers and the socket, which must not fail because the service hangs.
fn in_flight_max(rate: u32) -> usize {
    let files = process::open_files_max().unwrap_or(u64::MAX) / 2;
    usize::try_from(u64::from(rate).max(IN_FLIGHT_MIN).min(files)).unwrap_or(usize::MAX)
}

/// Where a round over the addresses begins. A fixed beginning would keep step with a balancer that goes round: each
/// address would reach the same few servers for ever. (The finaliser of `splitmix64`: the same for the same round.)
fn scatter(round: usize) -> usize {
    let mixed = (round as u64 ^ (round as u64 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or(0)
}

impl Requester {
    /// The request with this number, counted from zero.
    async fn request(&self, number: usize) {
        failpoint::hit("task.vip.request", number as u64);
        let (count, round) = (self.urls.len().max(1), number / self.urls.len().max(1));
        let Some(url) = self.urls.get((number + scatter(round) % count) % count) else { return };
        // By rounds over the addresses, so that with two of them each is asked in both ways.
        let fresh = round.is_multiple_of(2);
        let began = Instant::now();
        match tokio::time::timeout(TIMEOUT, self.ask(url, fresh)).await {
            Ok(Ok(())) => lock(&self.tally).succeed(began.elapsed()),
            Ok(Err(why)) => self.fail(format!("{}: {why}", described(url, fresh))),
            Err(_elapsed) => self.fail(format!("{}: no answer in {}s", described(url, fresh), TIMEOUT.as_secs())),
        }
    }

    async fn ask(&self, url: &Url, fresh: bool) -> Result<(), String> {
        let request = if fresh { self.fresh.get(url.clone()).header(CONNECTION, "close") } else { self.kept.get(url.clone()) };
        let mut response = request.send().await.map_err(|e| http::words(&e))?;
        let status = response.status();
        loop {
            match response.chunk().await {
                Ok(Some(_piece)) => {}
                Ok(None) if status.is_success() || status.is_redirection() => return Ok(()),
                Ok(None) => return Err(format!("status {}", status.as_u16())),
                Err(e) => return Err(format!("status {}, then {}", status.as_u16(), http::words(&e))),
            }
        }
    }

    fn fail(&self, failure: String) {
        lock(&self.tally).fail(failure);
    }
}

fn described(url: &Url, fresh: bool) -> String {
    text::sanitise(&format!("GET {url} on a {} connection", if fresh { "new" } else { "kept" }))
}

impl Tally {
    fn succeed(&mut self, latency: Duration) {
        self.requests += 1;
        self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn fail(&mut self, failure: String) {
        self.requests += 1;
        self.failed += 1;
        if self.failures.len() == FAILURES_KEPT {
            self.failures.pop_front();
            self.unlisted += 1;
        }
        self.failures.push_back(failure);
    }

    fn hand_out(&mut self) -> Vec<String> {
        let more = std::mem::take(&mut self.unlisted);
        let more = (more > 0).then(|| format!("{more} failures before these are not listed"));
        more.into_iter().chain(self.failures.drain(..)).collect()
    }

    fn stats(&self) -> VipStats {
        let ms = |quantile| (self.latencies.value_at_quantile(quantile) + 500) / 1000;
        VipStats { requests: self.requests, failed: self.failed, p50_ms: ms(0.5), p99_ms: ms(0.99) }
    }
}

fn read_roots(file: &Path) -> Result<Vec<Certificate>, String> {
    let unusable = |e: reqwest::Error| format!("ca_file: {} cannot be used: {}", file.display(), http::words(&e));
    tls::certificates("ca_file", file)?.iter().map(|der| Certificate::from_der(der).map_err(unusable)).collect()
}

fn read_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("[vip] url: {text:?}: {e}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(format!("[vip] url: {text:?} is neither http nor https")) }
}

/// What these locks guard is whole after every statement: a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

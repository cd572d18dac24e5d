//! The servers as the balancer sees them: who may get a request, how many are in flight, what the checks say.
//!
//! Imports: nothing. May not: do I/O or read a clock; health moves exactly as HAProxy 2.6 moves it.
//!
//! Requests go round by weight, spread evenly: of the servers that may get one, each gains its weight, the one that has gained
//! most gets it and pays what all gained. Over as many requests as the weights sum up to, each gets exactly its share.

use std::time::Duration;

use tokio::time::Instant;

/// Passes in a row that bring a server up.
pub(super) const RISE: u32 = 2;
/// Misses in a row that bring it down.
pub(super) const FALL: u32 = 2;
/// The health of a server that has passed lately.
const FULL: u32 = RISE + FALL - 1;
/// A server's weight at the start, as in an HAProxy whose configuration names none.
pub(super) const WEIGHT: u32 = 1;
/// So many answers count in a mean response time.
const SAMPLES: u64 = 1024;

/// What an operator ordered for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admin {
    /// In rotation.
    Ready,
    /// No new requests; still checked.
    Drain,
    /// No new requests, and not checked.
    Maint,
}

/// How one health check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// None has ended yet.
    Initial,
    /// Answered with a status from 200 to 399.
    Passed(u16),
    /// Answered with another status, and its words.
    WrongStatus(u16, String),
    /// No connection, and why.
    NoConnection(String),
    /// No connection in time.
    ConnectTimeout,
    /// No answer in time.
    AnswerTimeout,
    /// The answer is not HTTP, or none.
    BadAnswer,
}

/// One server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) admin: Admin,
    /// Its share of the requests; none with 0.
    pub(super) weight: u32,
    /// What it has gained and not yet got in requests.
    gained: i64,
    /// HAProxy's counter: up from `RISE` on, `FULL` at most.
    pub(super) health: u32,
    pub(super) check: Check,
    pub(super) check_took: Duration,
    /// When it last went up or down.
    pub(super) changed: Instant,
    pub(super) counts: Counts,
    pub(super) checks_failed: u64,
    /// How often it went down.
    pub(super) went_down: u64,
}

/// Counters of a server, a backend or a frontend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Requests in flight.
    pub(super) current: u32,
    /// The most there ever were.
    pub(super) most: u32,
    /// Requests ever.
    pub(super) total: u64,
    /// Connections to a server that were tried.
    pub(super) connects: u64,
    /// Requests that found no server, or whose server could not be connected to.
    pub(super) connect_errors: u64,
    /// Requests whose server connected but did not answer properly.
    pub(super) answer_errors: u64,
    /// Requests that the client gave up.
    pub(super) client_aborts: u64,
    /// Answers that the server broke off.
    pub(super) server_aborts: u64,
    /// Answers by their hundred: 1xx to 5xx, then others.
    pub(super) answers: [u64; 6],
    /// Milliseconds that servers took for their answers.
    response_ms: u64,
    /// How many answers that are of.
    responses: u64,
}

impl Counts {
    fn begin(&mut self) {
        self.current += 1;
        self.most = self.most.max(self.current);
        self.total += 1;
    }

    fn end(&mut self) {
        self.current = self.current.saturating_sub(1);
    }

    fn answered(&mut self, status: u16) {
        let place = match status {
            100..=599 => usize::from(status / 100 - 1),
            _ => 5,
        };
        if let Some(count) = self.answers.get_mut(place) {
            *count += 1;
        }
    }

    fn responded(&mut self, took: Duration) {
        let window = self.responses.clamp(1, SAMPLES);
        if self.responses >= SAMPLES {
            self.response_ms -= self.response_ms.div_ceil(window);
        }
        self.response_ms += u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.responses += 1;
    }

    /// The mean over the latest answers of servers in milliseconds, 0 without any.
    pub(super) fn mean_response(&self) -> u64 {
        self.response_ms.div_ceil(self.responses.clamp(1, SAMPLES))
    }
}

/// What became of a request, as far as counters care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server could not be connected to.
    Connect,
    /// The server connected but did not answer properly.
    Answer,
    /// The answer broke off in the middle.
    ServerAbort,
    /// The client went away before the end.
    ClientAbort,
}

/// All servers of the one backend.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) backend: String,
    pub(super) servers: Vec<Server>,
    /// Who comes first of those that have gained the same.
    turn: usize,
    /// Requests as the backend counts them, those without a server included.
    pub(super) counts: Counts,
    /// Connections of clients.
    pub(super) clients: Counts,
    /// When the backend last went up or down.
    pub(super) changed: Instant,
    pub(super) went_down: u64,
    pub(super) started: Instant,
}

impl Server {
    fn new(name: String, port: u16, now: Instant) -> Self {
        Self {
            name,
            port,
            admin: Admin::Ready,
            weight: WEIGHT,
            gained: 0,
            // Up until a check says otherwise, as HAProxy starts.
            health: RISE,
            check: Check::Initial,
            check_took: Duration::ZERO,
            changed: now,
            counts: Counts::default(),
            checks_failed: 0,
            went_down: 0,
        }
    }

    /// True if its checks say so. A server in maintenance is not up.
    pub(super) fn is_up(&self) -> bool {
        self.admin != Admin::Maint && self.health >= RISE
    }

    /// True if it may get a request.
    pub(super) fn is_usable(&self) -> bool {
        self.admin == Admin::Ready && self.weight > 0 && self.is_up()
    }

    /// The word that `show stat` has for it.
    pub(super) fn status(&self) -> String {
        if self.admin == Admin::Maint {
            return "MAINT".to_owned();
        }
        let word = match self.admin {
            Admin::Drain => "DRAIN",
            Admin::Ready | Admin::Maint => "UP",
        };
        match self.health {
            0 => "DOWN".to_owned(),
            health if health < RISE => format!("DOWN {health}/{RISE}"),
            health if health < FULL => format!("{word} {}/{FALL}", health + 1 - RISE),
            _ => word.to_owned(),
        }
    }

    fn set_health(&mut self, health: u32, now: Instant) {
        let was_up = self.is_up();
        self.health = health;
        self.note_change(was_up, now);
    }

    fn note_change(&mut self, was_up: bool, now: Instant) {
        if was_up != self.is_up() {
            self.changed = now;
            self.went_down += u64::from(was_up);
        }
    }
}

impl Pool {
    /// The servers by name and port on 127.0.0.1, all in rotation.
    pub(super) fn new(backend: String, servers: Vec<(String, u16)>, now: Instant) -> Self {
        Self {
            backend,
            servers: servers.into_iter().map(|(name, port)| Server::new(name, port, now)).collect(),
            turn: 0,
            counts: Counts::default(),
            clients: Counts::default(),
            changed: now,
            went_down: 0,
            started: now,
        }
    }

    /// Gives the next request to a server and counts it there at once; `None` if there is none to give it to.
    pub(super) fn pick(&mut self) -> Option<(usize, u16)> {
        self.counts.begin();
        let places = self.servers.len();
        let (mut total, mut best) = (0, None);
        for offset in 0..places {
            let index = (self.turn + offset) % places;
            let Some(server) = self.servers.get_mut(index).filter(|server| server.is_usable()) else { continue };
            server.gained += i64::from(server.weight);
            total += i64::from(server.weight);
            if best.is_none_or(|(_, gained)| server.gained > gained) {
                best = Some((index, server.gained));
            }
        }
        let Some((index, server)) = best.and_then(|(index, _)| Some((index, self.servers.get_mut(index)?))) else {
            self.counts.connect_errors += 1;
            return None;
        };
        server.gained -= total;
        server.counts.begin();
        server.counts.connects += 1;
        self.counts.connects += 1;
        self.turn = (index + 1) % places;
        Some((index, server.port))
    }

    /// The round begins anew: what somebody gained among others says nothing.
    fn begin_round(&mut self) {
        for server in &mut self.servers {
            server.gained = 0;
        }
    }

    /// A request is over; `None` for one that found no server.
    pub(super) fn end(&mut self, index: Option<usize>) {
        self.counts.end();
        if let Some(server) = index.and_then(|index| self.servers.get_mut(index)) {
            server.counts.end();
        }
    }

    /// A server answered with `status` after that time.
    pub(super) fn answered(&mut self, index: usize, status: u16, took: Duration) {
        self.clients.answered(status);
        let server = self.servers.get_mut(index).map(|server| &mut server.counts);
        for counts in [Some(&mut self.counts), server].into_iter().flatten() {
            counts.answered(status);
            counts.responded(took);
        }
    }

    /// We answered in a server's place.
    pub(super) fn answered_by_us(&mut self, status: u16) {
        self.counts.answered(status);
        self.clients.answered(status);
    }

    /// Something went wrong with a request to a server.
    pub(super) fn trouble(&mut self, index: usize, trouble: Trouble) {
        let server = self.servers.get_mut(index).map(|server| &mut server.counts);
        for counts in [Some(&mut self.counts), server].into_iter().flatten() {
            match trouble {
                Trouble::Connect => counts.connect_errors += 1,
                Trouble::Answer => counts.answer_errors += 1,
                Trouble::ServerAbort => counts.server_aborts += 1,
                Trouble::ClientAbort => counts.client_aborts += 1,
            }
        }
    }

    /// A client connected.
    pub(super) fn client_came(&mut self) {
        self.clients.begin();
    }

    /// A client's connection ended.
    pub(super) fn client_left(&mut self) {
        self.clients.end();
    }

    /// Carries an order out. From the moment it returns, `pick` keeps to it.
    pub(super) fn set_admin(&mut self, index: usize, admin: Admin, now: Instant) {
        let open = self.usable() > 0;
        if let Some(server) = self.servers.get_mut(index) {
            let was_up = server.is_up();
            let leaves_maintenance = server.admin == Admin::Maint && admin != Admin::Maint;
            server.admin = admin;
            if admin == Admin::Maint {
                server.health = 0;
            } else if leaves_maintenance {
                // As at the start: up, and down again at the first miss.
                server.health = RISE;
            }
            server.note_change(was_up, now);
        }
        self.begin_round();
        self.note_change(open, now);
    }

    /// Gives a server a weight. From the moment it returns, `pick` keeps to it.
    pub(super) fn set_weight(&mut self, index: usize, weight: u32, now: Instant) {
        let open = self.usable() > 0;
        if let Some(server) = self.servers.get_mut(index) {
            server.weight = weight;
        }
        self.begin_round();
        self.note_change(open, now);
    }

    /// Takes over how a check went, and tells whether that brought the server up or down.
    pub(super) fn checked(&mut self, index: usize, check: Check, took: Duration, now: Instant) -> Option<bool> {
        let open = self.usable() > 0;
        let server = self.servers.get_mut(index)?;
        if server.admin == Admin::Maint {
            return None;
        }
        let was_up = server.is_up();
        let health = if matches!(check, Check::Passed(_)) {
            if server.health + 1 >= RISE { FULL } else { server.health + 1 }
        } else {
            server.checks_failed += u64::from(was_up);
            if server.health > RISE { server.health - 1 } else { 0 }
        };
        server.check = check;
        server.check_took = took;
        server.set_health(health, now);
        let is_up = server.is_up();
        if was_up != is_up {
            self.begin_round();
        }
        self.note_change(open, now);
        (was_up != is_up).then_some(is_up)
    }

    /// How many servers may get requests.
    pub(super) fn usable(&self) -> usize {
        self.servers.iter().filter(|server| server.is_usable()).count()
    }

    /// The weights of those that may get requests.
    pub(super) fn weight(&self) -> u32 {
        self.servers.iter().filter(|server| server.is_usable()).map(|server| server.weight).sum()
    }

    /// The place of the server of that name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.servers.iter().position(|server| server.name == name)
    }

    fn note_change(&mut self, was_open: bool, now: Instant) {
        if was_open != (self.usable() > 0) {
            self.changed = now;
            self.went_down += u64::from(was_open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> (Pool, Instant) {
        let now = Instant::now();
        let servers = (1..=3).map(|n| (format!("web-{n:02}"), 8100 + n)).collect();
        (Pool::new("be_demo".to_owned(), servers, now), now)
    }

    fn names(pool: &mut Pool, picks: usize) -> Vec<Option<usize>> {
        (0..picks).map(|_| pool.pick().map(|(index, _)| index)).collect()
    }

    #[test]
    fn requests_go_round_over_those_in_rotation_and_up() {
        let (mut pool, now) = pool();
        assert_eq!(names(&mut pool, 4), [Some(0), Some(1), Some(2), Some(0)]);
        pool.set_admin(1, Admin::Drain, now);
        assert_eq!(names(&mut pool, 4), [Some(2), Some(0), Some(2), Some(0)]);
        pool.checked(0, Check::BadAnswer, Duration::ZERO, now);
        assert_eq!(names(&mut pool, 2), [Some(2), Some(2)]);
        pool.set_admin(2, Admin::Maint, now);
        assert_eq!(names(&mut pool, 2), [None, None]);
        assert_eq!((pool.counts.connect_errors, pool.went_down), (2, 1));
    }

    #[test]
    fn requests_go_by_weight_exactly_and_spread() {
        let (mut pool, now) = pool();
        pool.set_weight(0, 11, now);
        pool.set_weight(1, 50, now);
        pool.set_weight(2, 50, now);
        for _ in 0..3 {
            let picks = names(&mut pool, 111);
            let of = |index: usize| picks.iter().filter(|pick| **pick == Some(index)).count();
            assert_eq!([of(0), of(1), of(2)], [11, 50, 50]);
            let places: Vec<usize> = (0..111).filter(|at| picks[*at] == Some(0)).collect();
            assert!(places.windows(2).all(|two| (9..=12).contains(&(two[1] - two[0]))), "{places:?}");
        }
        pool.set_weight(1, 0, now);
        assert!(!names(&mut pool, 61).contains(&Some(1)));
        assert_eq!((pool.servers[1].status(), pool.weight()), ("UP 1/2".to_owned(), 61), "its status does not tell");
    }

    #[test]
    fn a_mean_response_time_is_of_the_latest_answers() {
        let (mut pool, _) = pool();
        assert_eq!(pool.servers[0].counts.mean_response(), 0);
        for took in [10, 20, 31] {
            pool.answered(0, 200, Duration::from_millis(took));
        }
        assert_eq!((pool.servers[0].counts.mean_response(), pool.counts.mean_response()), (21, 21), "rounded up");
        for _ in 0..20_000 {
            pool.answered(0, 200, Duration::from_millis(100));
        }
        assert!((99..=101).contains(&pool.servers[0].counts.mean_response()), "{:?}", pool.servers[0].counts);
        assert_eq!(pool.servers[1].counts.mean_response(), 0);
    }

    #[test]
    fn a_drained_server_keeps_its_requests_until_they_end() {
        let (mut pool, now) = pool();
        assert_eq!(pool.pick(), Some((0, 8101)));
        pool.set_admin(0, Admin::Drain, now);
        assert_eq!(pool.servers[0].counts.current, 1);
        pool.end(Some(0));
        assert_eq!((pool.servers[0].counts.current, pool.servers[0].counts.most, pool.counts.current), (0, 1, 0));
    }

    /// The words that HAProxy 2.6 shows, step by step.
    #[test]
    fn health_moves_as_haproxy_moves_it() {
        let (mut pool, now) = pool();
        let fail = || Check::NoConnection("Connection refused".to_owned());
        let pass = || Check::Passed(200);
        let mut step = |check: Check| {
            let change = pool.checked(0, check, Duration::ZERO, now);
            (pool.servers[0].status(), change)
        };
        assert_eq!(step(pass()), ("UP".to_owned(), None));
        assert_eq!(step(fail()), ("UP 1/2".to_owned(), None));
        assert_eq!(step(pass()), ("UP".to_owned(), None));
        assert_eq!(step(fail()), ("UP 1/2".to_owned(), None));
        assert_eq!(step(fail()), ("DOWN".to_owned(), Some(false)));
        assert_eq!(step(pass()), ("DOWN 1/2".to_owned(), None));
        assert_eq!(step(fail()), ("DOWN".to_owned(), None));
        assert_eq!(step(pass()), ("DOWN 1/2".to_owned(), None));
        assert_eq!(step(pass()), ("UP".to_owned(), Some(true)));
        assert_eq!((pool.servers[0].checks_failed, pool.servers[0].went_down), (3, 1));
    }

    #[test]
    fn a_server_starts_up_and_falls_at_its_first_miss() {
        let (mut pool, now) = pool();
        assert_eq!(pool.servers[0].status(), "UP 1/2");
        pool.checked(0, Check::AnswerTimeout, Duration::ZERO, now);
        assert_eq!(pool.servers[0].status(), "DOWN");
    }

    #[test]
    fn orders_show_as_haproxy_shows_them() {
        let (mut pool, now) = pool();
        pool.checked(0, Check::Passed(200), Duration::ZERO, now);
        pool.set_admin(0, Admin::Drain, now);
        assert_eq!(pool.servers[0].status(), "DRAIN");
        pool.checked(0, Check::BadAnswer, Duration::ZERO, now);
        assert_eq!(pool.servers[0].status(), "DRAIN 1/2");
        pool.checked(0, Check::BadAnswer, Duration::ZERO, now);
        assert_eq!(pool.servers[0].status(), "DOWN");
        pool.set_admin(0, Admin::Ready, now);
        assert_eq!(pool.servers[0].status(), "DOWN");
        pool.set_admin(0, Admin::Maint, now);
        assert_eq!(pool.servers[0].status(), "MAINT");
        assert_eq!(pool.checked(0, Check::Passed(200), Duration::ZERO, now), None, "a check under way when it was ordered");
        pool.set_admin(0, Admin::Ready, now);
        assert_eq!(pool.servers[0].status(), "UP 1/2");
    }
}

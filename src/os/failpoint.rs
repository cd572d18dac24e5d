//! Places where a test lets this program die, stop, panic or fail, at a moment of its choice.
//!
//! Imports: nothing. May not: be part of a release. Without the feature `failpoints`, which only the tests switch on,
//! nothing here is compiled but
//! an empty function.
//!
//! `ROLLOUT_FAILPOINT` holds `PLACE[#NUMBER]=ACTION`, several separated by `;`. A place that counts passes its number (the
//! journal: that of the last event); the action happens once, at the first number that is at least `NUMBER`. Without
//! `#NUMBER` it happens each time. Where nothing is to be counted but how often a place was passed, that is its number. Actions: `kill` `term` `stop` (signals to this process), `panic`, `error` (the place
//! fails as its own world would let it fail).

/// Does what is ordered for this place; `true` if the place shall fail.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn hit(_place: &str, _number: u64) -> bool {
    false
}

/// As [`hit`], with the number of times that this place was passed.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn pass(_place: &'static str) -> bool {
    false
}

/// The number of the control protocol, which a test changes in a copy of the program's file to have one of another version.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn protocol(ours: u32) -> u32 {
    ours
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::{hit, pass, protocol};

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rustix::process::Signal;

    struct Order {
        place: String,
        from: Option<u64>,
        action: String,
        done: AtomicBool,
    }

    static ORDERS: LazyLock<Vec<Order>> = LazyLock::new(|| {
        let text = std::env::var("ROLLOUT_FAILPOINT").unwrap_or_default();
        text.split(';').filter_map(parse).collect()
    });

    fn parse(text: &str) -> Option<Order> {
        let (place, action) = text.trim().split_once('=')?;
        let (place, from) = match place.split_once('#') {
            Some((place, number)) => (place, Some(number.parse().ok()?)),
            None => (place, None),
        };
        Some(Order { place: place.to_owned(), from, action: action.to_owned(), done: AtomicBool::new(false) })
    }

    pub(crate) fn hit(place: &str, number: u64) -> bool {
        let due = ORDERS.iter().find(|order| {
            order.place == place && order.from.is_none_or(|from| number >= from && !order.done.swap(true, Ordering::Relaxed))
        });
        due.is_some_and(|order| act(&order.action, place))
    }

    pub(crate) fn pass(place: &'static str) -> bool {
        static PASSED: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());
        if ORDERS.is_empty() {
            return false;
        }
        let number = {
            let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
            let number = passed.entry(place).or_default();
            *number += 1;
            *number
        };
        hit(place, number)
    }

    /// Its last byte is what is added.
    static PROTOCOL: [u8; 28] = *b"ROLLOUT_FAILPOINT_PROTOCOL+0";

    pub(crate) fn protocol(ours: u32) -> u32 {
        // Or the compiler would know the bytes, and they would stand nowhere.
        let [.., more] = *std::hint::black_box(&PROTOCOL);
        ours + u32::from(more.saturating_sub(b'0'))
    }

    #[expect(clippy::panic, reason = "a test ordered it")]
    fn act(action: &str, place: &str) -> bool {
        let signal = match action {
            "kill" => Signal::KILL,
            "term" => Signal::TERM,
            "stop" => Signal::STOP,
            "panic" => panic!("failpoint {place}"),
            _ => return action == "error",
        };
        rustix::process::kill_process(rustix::process::getpid(), signal).ok();
        false
    }
}

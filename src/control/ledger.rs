//! Which commands were given under which key: the same key twice is one command with one answer.
//!
//! Imports: command, ports, model. May not: grow without bound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

use crate::command::{Command, Receipt, Refusal};
use crate::model::Seq;
use crate::ports::SessionError;

/// How many keys are remembered. A console sends a few commands a minute and repeats one within seconds.
const KEPT: usize = 1024;

/// The engine's answer in a form that can be given twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did it.
    Done(Receipt),
    /// It refused.
    Refused(Refusal),
    /// It could not be reached; nobody knows whether it did it.
    Unreachable(String),
    /// The key was used for something else.
    KeyInUse,
}

impl From<Result<Receipt, SessionError>> for Answer {
    fn from(result: Result<Receipt, SessionError>) -> Self {
        match result {
            Ok(receipt) => Self::Done(receipt),
            Err(SessionError::Refused(refusal)) => Self::Refused(refusal),
            Err(SessionError::Link(reason)) => Self::Unreachable(reason),
        }
    }
}

/// User and key.
type Key = (u32, String);

struct Entry {
    asked: (Command, Option<Seq>),
    answer: Shared<BoxFuture<'static, Answer>>,
}

/// The keys of the latest commands.
#[derive(Default)]
pub(super) struct Ledger {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    oldest_first: VecDeque<Key>,
}

impl Ledger {
    /// The answer to the command under `key`; `give` hands it to the engine if it is new. A caller that goes away before
    /// the answer takes nothing with it: who asks again gets the same one.
    pub(super) async fn answer(
        &self,
        key: Key,
        asked: (Command, Option<Seq>),
        give: impl FnOnce() -> BoxFuture<'static, Result<Receipt, SessionError>>,
    ) -> Answer {
        let Some(answer) = self.enter(&key, asked, give) else {
            return Answer::KeyInUse;
        };
        let answer = answer.await;
        if matches!(answer, Answer::Unreachable(_)) {
            self.forget(&key);
        }
        answer
    }

    fn enter(
        &self,
        key: &Key,
        asked: (Command, Option<Seq>),
        give: impl FnOnce() -> BoxFuture<'static, Result<Receipt, SessionError>>,
    ) -> Option<Shared<BoxFuture<'static, Answer>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.entries.get(key) {
            return (known.asked == asked).then(|| known.answer.clone());
        }
        let answer = give().map(Answer::from).boxed().shared();
        kept.entries.insert(key.clone(), Entry { asked, answer: answer.clone() });
        kept.oldest_first.push_back(key.clone());
        while kept.oldest_first.len() > KEPT {
            if let Some(oldest) = kept.oldest_first.pop_front() {
                kept.entries.remove(&oldest);
            }
        }
        Some(answer)
    }

    fn forget(&self, key: &Key) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entries.remove(key);
        kept.oldest_first.retain(|other| other != key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn key(text: &str) -> Key {
        (1000, text.to_owned())
    }

    /// Gives a command that counts how often it ran; the receipt holds the count.
    fn counted(count: &Arc<AtomicU64>) -> impl FnOnce() -> BoxFuture<'static, Result<Receipt, SessionError>> {
        let count = Arc::clone(count);
        move || {
            async move {
                let seq = Seq(count.fetch_add(1, Ordering::SeqCst) + 1);
                Ok(Receipt { seq, message: String::new() })
            }
            .boxed()
        }
    }

    fn done(seq: u64) -> Answer {
        Answer::Done(Receipt { seq: Seq(seq), message: String::new() })
    }

    #[tokio::test]
    async fn a_key_is_one_command() {
        let (ledger, count) = (Ledger::default(), Arc::new(AtomicU64::new(0)));
        let resume = || (Command::Resume, None);
        assert_eq!(ledger.answer(key("a"), resume(), counted(&count)).await, done(1));
        assert_eq!(ledger.answer(key("a"), resume(), counted(&count)).await, done(1));
        assert_eq!(ledger.answer(key("b"), resume(), counted(&count)).await, done(2));
        assert_eq!(ledger.answer((0, "a".to_owned()), resume(), counted(&count)).await, done(3), "another user's key");
        assert_eq!(ledger.answer(key("a"), (Command::Start, None), counted(&count)).await, Answer::KeyInUse);
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_caller_that_left_finds_its_answer() {
        let (ledger, count) = (Ledger::default(), Arc::new(AtomicU64::new(0)));
        let slow = || {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(Receipt { seq: Seq(9), message: String::new() })
            }
            .boxed()
        };
        assert_eq!(ledger.answer(key("a"), (Command::Resume, None), slow).now_or_never(), None, "it left");
        assert_eq!(ledger.answer(key("a"), (Command::Resume, None), counted(&count)).await, done(9));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_nobody_answered_may_be_asked_again_and_memory_is_bounded() {
        let (ledger, count) = (Ledger::default(), Arc::new(AtomicU64::new(0)));
        let broken = || async { Err(SessionError::Link("gone".to_owned())) }.boxed();
        let answer = ledger.answer(key("a"), (Command::Resume, None), broken).await;
        assert_eq!(answer, Answer::Unreachable("gone".to_owned()));
        for n in 0..KEPT + 10 {
            ledger.answer(key(&n.to_string()), (Command::Resume, None), counted(&count)).await;
        }
        let kept = ledger.kept.lock().unwrap();
        assert_eq!((kept.entries.len(), kept.oldest_first.len()), (KEPT, KEPT));
    }
}

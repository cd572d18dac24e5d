//! What may stand in a file, as the readers themselves tell it while they read: tables, keys and the kind of each value.
//!
//! Imports: model. May not: know a key; refuse anything.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::model::{Count, Span};

/// The kind of a key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The reader looks at it in a way of its own.
    Own,
    /// A text.
    Text,
    /// A length of time.
    Span {
        /// If it is not given; `None` if that is something else.
        default: Option<Span>,
    },
    /// A whole number.
    Number {
        /// If it is not given; `None` if that is something else.
        default: Option<u32>,
        /// The least and the most.
        range: (u32, u32),
    },
    /// A number of instances.
    Count {
        /// If it is not given.
        default: Count,
    },
    /// A number of instances, or a list of them.
    Counts {
        /// If it is not given.
        default: Count,
    },
    /// `true` or `false`.
    Flag {
        /// If it is not given.
        default: bool,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// A text or a list of texts.
    Texts,
    /// A value or a list of values that the reader looks at in a way of its own.
    List,
    /// A table.
    Table,
    /// A list of tables.
    Tables,
    /// Known and refused: it belongs to a later version.
    Later,
}

impl Kind {
    /// Says at least as much as `other` does of the same value, so that `other` need not be kept.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Choice(words), Self::Choice(more)) => more.iter().all(|word| words.contains(word)),
            (Self::Own, Self::Later) => false,
            (_, Self::Later | Self::Own) | (Self::Tables | Self::Texts, Self::List) => true,
            // The same kind with other defaults.
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// All tables by their dotted path, each with its keys and the kinds of value that each may have.
#[derive(Debug, Default)]
pub(super) struct Shape {
    tables: RefCell<BTreeMap<String, IndexMap<String, Vec<Kind>>>>,
    /// Tables whose keys are free.
    free: RefCell<BTreeSet<String>>,
    /// What must be there, by table.
    required: RefCell<BTreeMap<String, BTreeSet<String>>>,
}

impl Shape {
    /// Notes what a reader takes. Drivers may take different kinds under the same name.
    pub(super) fn note(&self, path: &str, key: &str, kind: Kind) {
        let mut tables = self.tables.borrow_mut();
        let known = tables.get(path).and_then(|keys| keys.get(key));
        if known.is_some_and(|known| known.iter().any(|known| known.covers(&kind))) {
            return;
        }
        let kinds = tables.entry(path.to_owned()).or_default().entry(key.to_owned()).or_default();
        kinds.retain(|known| !kind.covers(known));
        kinds.push(kind);
    }

    /// Notes a table whose keys are free.
    pub(super) fn note_free(&self, path: &str) {
        if !self.free.borrow().contains(path) {
            self.free.borrow_mut().insert(path.to_owned());
        }
    }

    /// Notes that `key` must be there if its table is.
    pub(super) fn note_required(&self, path: &str, key: &str) {
        let mut required = self.required.borrow_mut();
        if !required.get(path).is_some_and(|keys| keys.contains(key)) {
            required.entry(path.to_owned()).or_default().insert(key.to_owned());
        }
    }

    /// Adds what another reading told. Only what both need of a table that both have read is still required.
    pub(super) fn merge(&self, other: Self) {
        let mut required = self.required.borrow_mut();
        let theirs = other.required.into_inner();
        for path in other.tables.borrow().keys() {
            let none = BTreeSet::new();
            let keys = theirs.get(path).unwrap_or(&none);
            if self.tables.borrow().contains_key(path) {
                required.entry(path.clone()).or_default().retain(|key| keys.contains(key));
            } else {
                required.insert(path.clone(), keys.clone());
            }
        }
        drop(required);
        self.free.borrow_mut().extend(other.free.into_inner());
        for (path, keys) in other.tables.into_inner() {
            for (key, kinds) in keys {
                for kind in kinds {
                    self.note(&path, &key, kind);
                }
            }
        }
    }

    /// The keys of a table, in the order in which they are read, without those of later versions.
    pub(super) fn keys(&self, path: &str) -> Vec<(String, Vec<Kind>)> {
        let tables = self.tables.borrow();
        let keys = tables.get(path).into_iter().flatten();
        keys.filter(|(_, kinds)| **kinds != [Kind::Later]).map(|(key, kinds)| (key.clone(), kinds.clone())).collect()
    }

    /// Every path of a table, in order: parents first.
    pub(super) fn paths(&self) -> Vec<String> {
        self.tables.borrow().keys().cloned().collect()
    }

    /// Whether a table's keys are free.
    pub(super) fn is_free(&self, path: &str) -> bool {
        self.free.borrow().contains(path)
    }

    /// What must be in a table.
    pub(super) fn required(&self, path: &str) -> Vec<String> {
        self.required.borrow().get(path).into_iter().flatten().cloned().collect()
    }
}

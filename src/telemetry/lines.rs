//! Turns what the program logs into lines: one for each event, with its fields and the spans around it.
//!
//! Imports: os' ring, model. May not: decide what is logged.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::file::LogFile;
use crate::model::Timestamp;
use crate::os::failpoint;
use crate::os::logring::LogRing;

/// Tells the wall time.
type Now = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Takes out of a message what nobody may see.
type Clean = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The layer that writes them.
pub(super) struct Lines {
    now: Now,
    clean: Clean,
    ring: LogRing,
    file: Option<Mutex<LogFile>>,
}

impl Lines {
    pub(super) fn new(now: Now, ring: LogRing, file: Option<LogFile>) -> Self {
        Self { now, clean: Box::new(str::to_owned), ring, file: file.map(Mutex::new) }
    }

    /// With messages that go through `clean` first.
    pub(super) fn cleaned_by(self, clean: Clean) -> Self {
        Self { clean, ..self }
    }
}

/// Fields as text: the message, then `name=value`.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Added by the bridge from `log`; the line has them already.
        if field.name().starts_with("log.") {
            return;
        }
        let space = if self.0.is_empty() { "" } else { " " };
        let written = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
        // A value that cannot say itself; what it wrote so far stays.
        written.unwrap_or_default();
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut text = String::new();
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().into_iter().rev() {
            let extensions = span.extensions();
            let fields = extensions.get::<Fields>().map_or("", |f| f.0.as_str());
            text.push_str(span.name());
            if !fields.is_empty() {
                text.extend(["{", fields, "}"]);
            }
            text.push_str(": ");
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        text.push_str(&fields.0);
        let line = self.ring.push((self.now)(), level_word(*metadata.level()), metadata.target(), &(self.clean)(&text));
        if let Some(file) = &self.file {
            let level = line.level.to_uppercase();
            let text = format!("{} {level:>5} {}: {}", line.at, line.target, line.message);
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            failpoint::pass("task.log");
            file.line(&text);
        }
    }
}

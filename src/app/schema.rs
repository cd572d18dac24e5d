//! `schema`: what editors need to complete and validate a rollout.toml.

use super::{Done, Failure, say};
use crate::config;

/// `rollout schema`.
pub(super) fn schema() -> Done {
    say(&serde_json::to_string_pretty(&config::schema()).map_err(Failure::person)?);
    Ok(0)
}

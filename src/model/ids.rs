//! Identities: instances, deployments, versions, effects, journal positions.
//!
//! Imports: nothing. May not: mint an id from a clock or randomness; ids are minted once, at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: it must match {rule}")]
pub struct IdError {
    /// What was being read, e.g. `version`.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// The rule it breaks, as a regular expression.
    pub rule: &'static str,
}

/// True if `text` starts with a letter or digit, continues with those or `extra`, and has at most `max` bytes. No segment is
/// `..`: what is put into a path must not lead out of it.
fn well_formed(text: &str, extra: &str, max: usize) -> bool {
    text.len() <= max
        && text.split('/').all(|segment| segment != "..")
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $extra:literal, $max:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads the id.
            ///
            /// # Errors
            /// Fails if the text breaks the rule named in the type's documentation.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if well_formed(text, $extra, $max) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(IdError { what: $what, text: text.chars().take(200).collect(), rule: $rule })
                }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }
    };
}

text_id!(
    /// An instance: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
    InstanceId, "instance id", "._-", 63, "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
);
text_id!(
    /// What is deployed: `[A-Za-z0-9][A-Za-z0-9._+:@/-]{0,127}`, without the path segment `..`.
    Version, "version", "._+:@/-", 128, "[A-Za-z0-9][A-Za-z0-9._+:@/-]{0,127}, without the path segment `..`"
);

/// One deployment of a service, shown as `SERVICE-N` (`shop-142`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeploymentId {
    service: Arc<str>,
    number: u32,
}

impl DeploymentId {
    /// The deployment `number` (from 1) of `service`.
    pub fn new(service: &str, number: u32) -> Self {
        Self { service: Arc::from(service), number }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The number within the service, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.service, self.number))
    }
}

impl From<DeploymentId> for String {
    fn from(id: DeploymentId) -> Self {
        id.to_string()
    }
}

impl FromStr for DeploymentId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { what: "deployment id", text: text.chars().take(200).collect(), rule: "SERVICE-N" };
        let (service, number) = text.rsplit_once('-').ok_or_else(bad)?;
        let number = number.parse().map_err(|_not_a_number| bad())?;
        if service.is_empty() { Err(bad()) } else { Ok(Self::new(service, number)) }
    }
}

impl TryFrom<String> for DeploymentId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

/// Names one act on the world, the same before and after a crash: `deployment/instance/step/attempt`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(Arc<str>);

impl EffectId {
    /// Puts the four parts together; `instance` is `*` for an act on the whole fleet.
    pub fn new(deployment: &DeploymentId, instance: Option<&InstanceId>, step: &str, attempt: u32) -> Self {
        let instance = instance.map_or("*", InstanceId::as_str);
        Self(Arc::from(format!("{deployment}/{instance}/{step}/{attempt}")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The place of an event in its deployment's journal: 1, 2, 3, … without a gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The one that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_keep_to_their_charset() {
        for good in ["v2", "v1..2", "1.4.0+build.7", "sha256:abc", "app@1/x", "a"] {
            assert!(Version::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(129);
        for bad in ["", "-v2", "v 2", "v1/../../etc", "v1/..", "v2;rm", "$(x)", "v\n", "é", long.as_str()] {
            assert!(Version::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn deployment_ids_read_back_with_dashes_in_the_service() {
        let id = DeploymentId::new("shop-api", 142);
        assert_eq!(id.to_string(), "shop-api-142");
        assert_eq!("shop-api-142".parse::<DeploymentId>(), Ok(id));
        assert!("shop".parse::<DeploymentId>().is_err());
        assert!("-3".parse::<DeploymentId>().is_err());
    }
}

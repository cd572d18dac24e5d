//! A number of instances, absolute or as a share of the fleet, and how shares are rounded.
//!
//! Imports: nothing. May not: know what is counted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `2` or `"10%"`. Percentages are 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// So many instances.
    Absolute(u32),
    /// So many of a hundred.
    Percent(u8),
}

/// Why a text is not a count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a count like 2 nor a share like \"10%\" (0% to 100%)")]
pub struct CountError(pub String);

impl Count {
    /// Rounded down: what may be missing (budget). The field's rule for `maxUnavailable`.
    pub fn floor_of(self, total: u32) -> u32 {
        match self {
            Self::Absolute(n) => n,
            Self::Percent(p) => share(total, p),
        }
    }

    /// Rounded down, but at least one: batches.
    pub fn floor_min_one_of(self, total: u32) -> u32 {
        self.floor_of(total).max(1)
    }

    /// Rounded up: what must be there (floors) and what may be added (surge).
    pub fn ceil_of(self, total: u32) -> u32 {
        match self {
            Self::Absolute(n) => n,
            Self::Percent(p) => total - share(total, 100 - p.min(100)),
        }
    }

    /// True for `0` and `"0%"`.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Absolute(0) | Self::Percent(0))
    }
}

/// `percent` of `total`, rounded down.
fn share(total: u32, percent: u8) -> u32 {
    u32::try_from(u64::from(total) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}

impl FromStr for Count {
    type Err = CountError;
    fn from_str(text: &str) -> Result<Self, CountError> {
        let bad = || CountError(text.chars().take(100).collect());
        match text.strip_suffix('%') {
            Some(share) => match share.parse::<u8>() {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                Ok(_) | Err(_) => Err(bad()),
            },
            None => text.parse().map(Self::Absolute).map_err(|_not_a_number| bad()),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(n) => write!(f, "{n}"),
            Self::Percent(p) => write!(f, "{p}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_and_refused() {
        assert_eq!("2".parse(), Ok(Count::Absolute(2)));
        assert_eq!("10%".parse(), Ok(Count::Percent(10)));
        for bad in ["", "-1", "101%", "10 %", "1.5", "%", "ten"] {
            assert!(bad.parse::<Count>().is_err(), "{bad}");
        }
    }
}

//! What a file is by its content, and what it names: groups of instances, one of which becomes the fleet.

use std::path::Path;

use super::haproxy::{self, Haproxy, Server};
use super::{ansible, compose, nginx};

/// Instances that belong together, as a file other than HAProxy's has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) servers: Vec<Server>,
    /// Where users reach it.
    pub(super) urls: Vec<String>,
    /// What of it is left out, and why.
    pub(super) notes: Vec<String>,
    pub(super) sort: Sort,
}

/// Where a group is from, and what that means for the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// An upstream of nginx.
    #[default]
    Nginx,
    /// Services of a compose file that are made from one image.
    Compose {
        /// Without its tag.
        image: String,
    },
    /// A group of an inventory, which is asked again for every plan.
    Ansible {
        /// Prints the inventory.
        command: Vec<String>,
    },
}

impl Sort {
    /// What such a group is called where it comes from.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Nginx => "upstream",
            Self::Compose { .. } => "image",
            Self::Ansible { .. } => "group",
        }
    }
}

/// What a file turned out to be.
pub(super) enum Found {
    /// HAProxy's, or nothing else that is known.
    Haproxy(Haproxy),
    /// Something with groups; and what was not understood.
    Groups(Vec<Group>, Vec<String>),
}

/// Reads a text as what it is.
///
/// # Errors
/// Fails with a sentence if it is an inventory and nothing here can read it.
pub(super) async fn read(file: &Path, text: &str) -> Result<Found, String> {
    // Before HAProxy, which has a section `listen` where nginx has a directive.
    if nginx::is_one(text) {
        let (groups, notes) = nginx::parse(file, text);
        return Ok(Found::Groups(groups, notes));
    }
    let haproxy = haproxy::parse(text);
    if !haproxy.backends.is_empty() {
        return Ok(Found::Haproxy(haproxy));
    }
    if let Some(document) = compose::read(text) {
        let (groups, notes) = compose::parse(&document);
        return Ok(Found::Groups(groups, notes));
    }
    if ansible::is_one(text) {
        return Ok(Found::Groups(ansible::read(file).await?, Vec::new()));
    }
    Ok(Found::Haproxy(haproxy))
}

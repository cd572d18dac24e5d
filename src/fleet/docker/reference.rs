//! References of images: `registry.example.com/shop:v2`, and the version in one.
//!
//! Imports: model, os. May not: ask a registry.

use crate::model::{InstanceId, Target, Version};
use crate::os::template::{self, Context};

/// The registry of a reference that names none.
pub(super) const DOCKER_HUB: &str = "docker.io";
/// Stands for the version while a template is turned round.
const MARK: &str = "rollout0version0mark";

/// An image's reference, rendered and looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The whole text.
    pub(super) text: String,
    /// Who has it.
    pub(super) registry: String,
    /// Without tag; with its digest if it has one.
    pub(super) name: String,
    /// `latest` if none is given; none with a digest.
    pub(super) tag: Option<String>,
}

impl Reference {
    /// Takes a text apart.
    ///
    /// # Errors
    /// Fails with a sentence if it is none.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '@' | '-' | '+');
        if text.is_empty() || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(fits) {
            return Err(format!("{text:?} is no reference of an image; write one like \"registry.example.com/shop:v2\""));
        }
        let registry = text.split_once('/').map(|(first, _)| first);
        let registry = registry.filter(|first| first.contains(['.', ':']) || *first == "localhost").unwrap_or(DOCKER_HUB);
        let last = text.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match text.rfind(':').filter(|colon| *colon > last) {
            _ if text.contains('@') => (text, None),
            Some(colon) => (text.get(..colon).unwrap_or(text), text.get(colon + 1..)),
            None => (text, Some("latest")),
        };
        Ok(Self { text: text.to_owned(), registry: registry.to_owned(), name: name.to_owned(), tag: tag.map(str::to_owned) })
    }
}

/// The version that the image of a container has by the template, if that can be told.
pub(super) fn version_in(reference: &str, image: &str, (service, target): (&str, &Target)) -> Option<Version> {
    let mark = Version::new(MARK).ok()?;
    let context = Context { service, target, version: Some(&mark), previous: None };
    let rendered = template::render(image, context).ok()?;
    let (before, after) = rendered.split_once(MARK)?;
    let version = reference.strip_prefix(before)?.strip_suffix(after)?;
    // Two versions in one reference are none that could be read.
    if after.contains(MARK) { None } else { Version::new(version).ok() }
}

/// A name that a container may have.
///
/// # Errors
/// Fails with a sentence.
pub(super) fn container_name(text: &str, instance: &InstanceId) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let good = text.len() >= 2 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits);
    let remedy = "write letters, digits and _ . - in [update.docker] container";
    if good { Ok(text.to_owned()) } else { Err(format!("{instance}: {text:?} is no name of a container; {remedy}")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn references_are_taken_apart() {
        for (text, registry, name, tag) in [
            ("shop", "docker.io", "shop", Some("latest")),
            ("team/shop:v2", "docker.io", "team/shop", Some("v2")),
            ("localhost:5000/shop:v2", "localhost:5000", "localhost:5000/shop", Some("v2")),
            ("r.example.com/shop", "r.example.com", "r.example.com/shop", Some("latest")),
            ("r.example.com/shop@sha256:00ff", "r.example.com", "r.example.com/shop@sha256:00ff", None),
        ] {
            let found = Reference::new(text).unwrap();
            assert_eq!((found.registry.as_str(), found.name.as_str(), found.tag.as_deref()), (registry, name, tag), "{text}");
        }
        for bad in ["", "-x", "a b", "a?b", "a#b", "sh%6f"] {
            assert!(Reference::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_version_is_read_back_by_the_template() {
        let id = InstanceId::new("web-1").unwrap();
        let target = Target { id, host: "h".to_owned(), port: 1, zone: None, labels: BTreeMap::new() };
        let read = |reference: &str, image: &str| version_in(reference, image, ("shop", &target)).map(|v| v.to_string());
        let image = "r.example.com/{{ service }}:{{ version }}";
        assert_eq!(read("r.example.com/shop:v2", image), Some("v2".to_owned()));
        assert_eq!(read("r.example.com/shop@sha256:00", image), None);
        assert_eq!(read("sha256:00ff", image), None);
        assert_eq!(read("r.example.com/other:v2", image), None);
        assert_eq!(read("shop:v2-alpine", "shop:{{ version }}-alpine"), Some("v2".to_owned()));
        assert_eq!(read("shop:v2", "shop:latest"), None);
    }
}

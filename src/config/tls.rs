//! `[health.tls]`: whom a probe trusts, and which certificate it shows.
//!
//! Imports: config's reader, os' settings. May not: read a file that is named here (that is whoever connects).

use std::path::{Path, PathBuf};

use super::section::Section;
use super::value::shown;
use crate::os::tls::Settings;

/// Reads `[health.tls]`; `None` if it is not there. Relative paths begin at `base`.
pub(super) fn read(parent: &mut Section<'_>, base: &Path) -> Option<Settings> {
    let mut section = parent.table("tls");
    let ca_file = file(&mut section, "ca_file", base);
    let cert_file = file(&mut section, "cert_file", base);
    let key_file = file(&mut section, "key_file", base);
    let server_name = section.plain("server_name");
    let insecure = section.flag("insecure", false);
    for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if section.had(one) && !section.had(other) {
            section.fault(section.place(), other, format!("is missing; {one} is of no use without it"));
        }
    }
    if let Some(name) = &server_name
        && rustls::pki_types::ServerName::try_from(name.value.as_str()).is_err()
    {
        section.fault(name.place, "server_name", format!("{} is no name that a certificate could have", shown(&name.value)));
    }
    if insecure.value && section.had("ca_file") {
        let remedy = "contradicts ca_file: with it any certificate will do; remove one of the two";
        section.fault(insecure.place, "insecure", remedy);
    } else if insecure.value {
        section.warn_at(insecure.place, "insecure", "believes whoever answers: a probe cannot tell the instance from another");
    }
    let present = section.present();
    section.finish();
    let server_name = server_name.map(|name| name.value);
    present.then_some(Settings { ca_file, cert_file, key_file, server_name, insecure: insecure.value })
}

/// Reads the path of a file.
pub(super) fn file(section: &mut Section<'_>, key: &str, base: &Path) -> Option<PathBuf> {
    let path = section.plain(key)?;
    Some(base.join(path.value))
}

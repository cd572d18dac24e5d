//! Certificates as the openssl program makes them.
//!
//! Imports: nothing of the crate. May not: keep a certificate beyond its directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::temp_dir;

/// An authority, and where its certificates lie.
pub(crate) struct Authority {
    openssl: PathBuf,
    dir: TempDir,
}

/// The files of one certificate.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(openssl: &Path) -> Self {
        let authority = Self { openssl: openssl.to_owned(), dir: temp_dir() };
        let at = |name: &str| authority.path(name).display().to_string();
        let config = format!(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = {}\nserial = {}\nnew_certs_dir = {}\ndefault_md = sha256\n\
             policy = any\ncopy_extensions = copy\nunique_subject = no\n[any]\ncommonName = supplied\n",
            at("index"),
            at("serial"),
            authority.dir.path().display(),
        );
        fs::write(authority.path("ca.cnf"), config).expect("written");
        fs::write(authority.path("index"), "").expect("written");
        fs::write(authority.path("serial"), "01\n").expect("written");
        let subject = ["-subj", "/CN=An authority", "-days", "10"];
        authority.run(&[["req", "-x509", "-keyout", &at("ca.key"), "-out", &at("ca.crt")].as_slice(), &NEW, &subject].concat());
        authority
    }

    /// The authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// A certificate for these names, like `DNS:shop.example` or `IP:127.0.0.1`.
    pub(crate) fn issue(&self, name: &str, names: &str) -> Pair {
        self.issue_until(name, names, "20991231235959Z")
    }

    /// One that ends at a moment.
    pub(crate) fn issue_until(&self, name: &str, names: &str, end: &str) -> Pair {
        let at = |name: String| self.path(&name).display().to_string();
        let (key, request, cert) = (at(format!("{name}.key")), at(format!("{name}.csr")), at(format!("{name}.crt")));
        let alternative = format!("subjectAltName={names}");
        let subject = ["-subj", "/CN=one of ours", "-addext", &alternative];
        self.run(&[["req", "-keyout", &key, "-out", &request].as_slice(), &NEW, &subject].concat());
        let authority = [at("ca.cnf".to_owned()), at("ca.crt".to_owned()), at("ca.key".to_owned())];
        let dates = ["-startdate", "20200101000000Z", "-enddate", end];
        let signer = ["ca", "-batch", "-config", &authority[0], "-cert", &authority[1], "-keyfile", &authority[2]];
        self.run(&[signer.as_slice(), &["-in", &request, "-out", &cert, "-notext"], &dates].concat());
        Pair { cert: cert.into(), key: key.into() }
    }

    /// One that is signed by nobody but itself.
    pub(crate) fn sign_itself(&self, name: &str, names: &str, as_authority: bool) -> Pair {
        let at = |name: String| self.path(&name).display().to_string();
        let (key, cert) = (at(format!("{name}.key")), at(format!("{name}.crt")));
        let alternative = format!("subjectAltName={names}");
        let kind = format!("basicConstraints=critical,CA:{}", if as_authority { "TRUE" } else { "FALSE" });
        let subject = ["-subj", "/CN=myself", "-days", "10", "-addext", &alternative, "-addext", &kind];
        // Without the program's own file, which would add a constraint of its own.
        let empty = self.path("empty.cnf");
        fs::write(&empty, "[req]\ndistinguished_name = any\n[any]\n").expect("written");
        let empty = empty.display().to_string();
        self.run(&[["req", "-x509", "-config", &empty, "-keyout", &key, "-out", &cert].as_slice(), &NEW, &subject].concat());
        Pair { cert: cert.into(), key: key.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) {
        let done = Command::new(&self.openssl).args(args).stdin(Stdio::null()).output().expect("openssl");
        assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A new key without a password.
const NEW: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

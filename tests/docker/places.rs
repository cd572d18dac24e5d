//! Daemons elsewhere: over ssh, and over TCP with TLS.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rollout::ports::FleetError;

use crate::common::{free_port, server, wait_for};
use crate::site::{Site, run, serves, update, version};

struct Sshd(Child);

impl Drop for Sshd {
    /// With the connections that it serves, which outlive it otherwise.
    fn drop(&mut self) {
        let of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let mut all: Vec<u32> = of(self.0.id()).split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        let deeper: Vec<u32> = all
            .iter()
            .flat_map(|pid| of(*pid).split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        all.extend(deeper);
        self.0.kill().ok();
        self.0.wait().ok();
        for pid in all.into_iter().filter_map(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

/// An sshd on loopback, whose logins use docker at the site's daemon; the path of the client's configuration.
fn sshd(site: &Site, sshd: &Path, port: u16) -> (Sshd, String) {
    for name in ["host_key", "key"] {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(site.path(name)));
    }
    fs::create_dir_all("/run/sshd").unwrap();
    let of = |name: &str| site.path(name).display().to_string();
    let settings = [
        format!("ListenAddress 127.0.0.1:{port}"),
        format!("HostKey {}", of("host_key")),
        format!("AuthorizedKeysFile {}", of("key.pub")),
        "PidFile none".to_owned(),
        "StrictModes no".to_owned(),
        "UsePAM no".to_owned(),
        "PermitRootLogin yes".to_owned(),
        format!("SetEnv DOCKER_HOST={}", site.host),
    ];
    fs::write(site.path("sshd_config"), settings.join("\n") + "\n").unwrap();
    let known = fs::read_to_string(site.path("host_key.pub")).unwrap();
    fs::write(site.path("known_hosts"), format!("[127.0.0.1]:{port} {known}")).unwrap();
    let settings = [
        "Host *".to_owned(),
        format!("IdentityFile {}", of("key")),
        "IdentitiesOnly yes".to_owned(),
        "StrictHostKeyChecking yes".to_owned(),
        format!("UserKnownHostsFile {}", of("known_hosts")),
    ];
    fs::write(site.path("ssh_config"), settings.join("\n") + "\n").unwrap();
    let mut command = Command::new(sshd);
    command.args(["-D", "-e", "-f"]).arg(site.path("sshd_config"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (Sshd(child), of("ssh_config"))
}

#[tokio::test]
async fn over_ssh() {
    let Some(site) = Site::start().await else { return };
    let (Some(program), Some(_), Some(_)) = (server("sshd"), server("ssh"), server("ssh-keygen")) else { return };
    let (port, ssh_port) = (free_port(), free_port());
    site.serving("shop:v1");
    site.serving("shop:v2");
    let (sshd, config) = sshd(&site, &program, ssh_port);
    wait_for("sshd", async || std::net::TcpStream::connect(("127.0.0.1", ssh_port)).ok()).await;
    let docker = |options: &str| {
        format!(
            "host = \"ssh://root@{{{{ instance.host }}}}:{ssh_port}\"\ncontainer_port = 8080\nssh_options = [\"-F\", {options}]"
        )
    };
    let (driver, target) = site.driver(port, &docker(&format!("\"{config}\"")));
    assert_eq!(driver.check(&target, &version("v1")).await, Vec::<String>::new());
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    serves(port, "v1").await;
    update(&*driver, &target, ("v1", "v2"), (2, 1)).await.unwrap();
    serves(port, "v2").await;
    assert_eq!(driver.observe(&target).await.unwrap().version, Some(version("v2")));
    // A host whose key is not known is not accepted, and ssh's own words say so.
    let (stranger, _) = site.driver(port, &docker(&format!("\"{config}\", \"-o\", \"UserKnownHostsFile=/dev/null\"")));
    let refused = stranger.observe(&target).await.unwrap_err();
    assert!(matches!(&refused, FleetError::Unreachable(why) if why.contains("Host key verification failed")), "{refused}");
    // A connection that is lost between two requests.
    drop(sshd);
    let lost = wait_for("the loss", async || driver.observe(&target).await.err()).await;
    assert!(matches!(lost, FleetError::Unreachable(_)), "{lost}");
}

/// A CA, and certificates for daemon and client.
fn certificates(site: &Site) {
    let of = |name: &str| site.path(name);
    let new = |name: &str, extra: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"]);
        command.arg(format!("/CN={name}")).arg("-keyout").arg(of(&format!("{name}.key"))).arg("-out");
        run(command.arg(of(&format!("{name}.pem"))).args(extra));
    };
    new("ca", &[]);
    new("otherca", &[]);
    let (ca, key) = (of("ca.pem").display().to_string(), of("ca.key").display().to_string());
    let signed = ["-CA", &ca, "-CAkey", &key, "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
    new("server", &[&signed[..], &["-addext", "extendedKeyUsage=serverAuth"]].concat());
    new("client", &[&signed[..], &["-addext", "extendedKeyUsage=clientAuth"]].concat());
}

#[tokio::test]
async fn over_tcp_with_tls() {
    let Some(mut site) = Site::start().await else { return };
    if server("openssl").is_none() {
        return;
    }
    certificates(&site);
    let (port, api) = (free_port(), free_port());
    site.down(rustix::process::Signal::TERM);
    let of = |name: &str| site.path(name).display().to_string();
    let extra = [
        format!("--host=tcp://127.0.0.1:{api}"),
        "--tlsverify".to_owned(),
        format!("--tlscacert={}", of("ca.pem")),
        format!("--tlscert={}", of("server.pem")),
        format!("--tlskey={}", of("server.key")),
    ];
    site.also(&extra);
    site.up().await;
    site.serving("shop:v1");
    let files = |ca: &str, own: &str| {
        let own = if own.is_empty() {
            String::new()
        } else {
            format!(
                "cert_file = \"{}\"\nkey_file = \"{}\"\n",
                site.path(&format!("{own}.pem")).display(),
                site.path(&format!("{own}.key")).display()
            )
        };
        format!(
            "host = \"tcp://127.0.0.1:{api}\"\ncontainer_port = 8080\nca_file = \"{}\"\n{own}",
            site.path(&format!("{ca}.pem")).display()
        )
    };
    let (driver, target) = site.driver(port, &files("ca", "client"));
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    serves(port, "v1").await;
    // Signed by somebody else; and we without a certificate.
    for (files, words) in [(files("otherca", "client"), "certificate"), (files("ca", ""), "certificate")] {
        let (driver, _) = site.driver(port, &files);
        let refused = driver.observe(&target).await.unwrap_err();
        let said = refused.to_string().to_lowercase();
        assert!(matches!(&refused, FleetError::Unreachable(_)) && said.contains(words), "{refused}");
    }
}

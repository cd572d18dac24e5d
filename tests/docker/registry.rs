//! Images from a registry: fetched with progress, always or never, not there, not for us, too large for the disk.

use std::fs;
use std::process::{Child, Command, Stdio};

use rollout::ports::FleetError;

use crate::common::{free_port, server, wait_for};
use crate::site::{Site, run, serves, update, version};

/// A registry that asks for a password; it ends with the value.
struct Registry {
    child: Child,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const USER: &str = "deploy";
const PASSWORD: &str = "s3cret-word";
/// Of the password, by bcrypt.
const HASH: &str = "$2b$05$XPXxoMCow8DOe5lbdbiMeeFy51kjNkI99ux7UbNU8V5TU5SJ4qpUC";

impl Registry {
    async fn start(site: &Site) -> Option<Self> {
        let program = server("docker-registry")?;
        let port = free_port();
        let (root, users) = (site.path("registry"), site.path("htpasswd"));
        fs::write(&users, format!("{USER}:{HASH}\n")).unwrap();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n\
             auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            root.display(),
            users.display()
        );
        fs::write(site.path("registry.yml"), config).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(site.path("registry.yml"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { child, port };
        wait_for("the registry", async || std::net::TcpStream::connect(("127.0.0.1", port)).ok()).await;
        Some(registry)
    }

    fn image(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/team/shop:{tag}", self.port)
    }

    /// Docker's own file of logins.
    fn login(&self, site: &Site, name: &str, password: &str) -> String {
        let dir = site.path(name);
        fs::create_dir_all(&dir).unwrap();
        let (dir, at) = (dir.display().to_string(), format!("127.0.0.1:{}", self.port));
        let mut command = Command::new("docker");
        command.args(["--config", &dir, "--host", &site.host, "login", "-u", USER, "-p", password, &at]);
        if password == PASSWORD {
            run(&mut command);
        } else {
            use base64::Engine as _;
            let auth = base64::prelude::BASE64_STANDARD.encode(format!("{USER}:{password}"));
            fs::write(format!("{dir}/config.json"), format!("{{\"auths\":{{\"{at}\":{{\"auth\":\"{auth}\"}}}}}}")).unwrap();
        }
        format!("{dir}/config.json")
    }

    /// Puts an image there and takes it from the host.
    fn publish(&self, site: &Site, local: &str, tag: &str, config: &str) {
        let there = self.image(tag);
        site.docker(&["tag", local, &there]);
        let dir = config.trim_end_matches("/config.json");
        run(Command::new("docker").args(["--config", dir, "--host", &site.host, "push", &there]));
        site.docker(&["rmi", &there]);
    }
}

#[tokio::test]
async fn images_come_from_a_registry() {
    let Some(site) = Site::start().await else { return };
    let Some(registry) = Registry::start(&site).await else { return };
    let good = registry.login(&site, "good", PASSWORD);
    let bad = registry.login(&site, "bad", "wr0ng-word");
    site.serving("local:v1");
    site.serving("local:v2");
    registry.publish(&site, "local:v1", "v1", &good);
    registry.publish(&site, "local:v2", "v2", &good);
    let port = free_port();
    let docker = |login: &str, pull: &str| {
        let image = registry.image("{{ version }}");
        format!("container_port = 8080\nimage = \"{image}\"\ncredentials = \"{login}\"\npull = \"{pull}\"")
    };
    let (driver, target) = site.driver(port, &docker(&good, "missing"));
    assert_eq!(driver.check(&target, &version("v1")).await, Vec::<String>::new(), "asked of the registry");
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    serves(port, "v1").await;
    let before = site.inspect("web-1")["State"]["StartedAt"].clone();

    // A tag that is not there, and a password that is wrong: nothing was touched, and no secret is said.
    let complaints = driver.check(&target, &version("v9")).await;
    assert!(complaints.iter().any(|why| why.contains("team/shop:v9")), "{complaints:?}");
    let missing = update(&*driver, &target, ("v1", "v9"), (2, 1)).await.unwrap_err();
    assert!(matches!(&missing, FleetError::Failed(why) if why.contains("v9") && why.contains("fetching the image")), "{missing}");
    let (stranger, _) = site.driver(port, &docker(&bad, "always"));
    let complaints = stranger.check(&target, &version("v2")).await;
    let refused = update(&*stranger, &target, ("v1", "v2"), (3, 1)).await.unwrap_err();
    assert!(matches!(&refused, FleetError::Failed(_)), "{refused}");
    let said = format!("{complaints:?} {refused} {:?}", site.config(port, &docker(&bad, "always")).fleet);
    assert!(said.contains("unauthorized") && !said.contains("wr0ng-word"), "{said}");
    let (never, _) = site.driver(port, &docker(&good, "never"));
    let complaints = never.check(&target, &version("v2")).await;
    assert!(complaints.iter().any(|why| why.contains("pull = \"never\"")), "{complaints:?}");
    let refused = update(&*never, &target, ("v1", "v2"), (4, 1)).await.unwrap_err();
    assert!(refused.to_string().contains("the host has no image"), "{refused}");
    assert_eq!(site.inspect("web-1")["State"]["StartedAt"], before);
    assert_eq!(site.names(), ["web-1"]);

    // A tag that was moved is fetched again by `always`, and only by it.
    update(&*driver, &target, ("v1", "v2"), (5, 1)).await.unwrap();
    serves(port, "v2").await;
    site.serving("local:v3");
    let there = registry.image("v2");
    publish_over(&site, "local:v3", &there, &good);
    update(&*driver, &target, ("v2", "v2"), (6, 1)).await.unwrap();
    serves(port, "v2").await;
    let (always, _) = site.driver(port, &docker(&good, "always"));
    update(&*always, &target, ("v2", "v2"), (7, 1)).await.unwrap();
    serves(port, "v3").await;

    // The way back needs no registry.
    update(&*always, &target, ("v2", "v1"), (8, 1)).await.unwrap();
    serves(port, "v1").await;
    update(&*always, &target, ("v1", "v2"), (9, 1)).await.unwrap();
    serves(port, "v3").await;
    drop(registry);
    update(&*always, &target, ("v2", "v1"), (9, 2)).await.unwrap();
    serves(port, "v1").await;
}

/// Puts another image under a tag, and leaves the host's own as it is.
fn publish_over(site: &Site, local: &str, there: &str, config: &str) {
    let kept = "local:kept";
    site.docker(&["tag", there, kept]);
    site.docker(&["tag", local, there]);
    let dir = config.trim_end_matches("/config.json");
    run(Command::new("docker").args(["--config", dir, "--host", &site.host, "push", there]));
    site.docker(&["tag", kept, there]);
}

#[tokio::test]
async fn an_image_that_does_not_fit_fails_in_the_daemons_words() {
    let Some(site) = Site::start().await else { return };
    let Some(registry) = Registry::start(&site).await else { return };
    let good = registry.login(&site, "good", PASSWORD);
    let root = site.path("root-large");
    fs::create_dir_all(&root).unwrap();
    // Random, so that no layer is smaller than it.
    let mut large = vec![0_u8; 60_000_000];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut large).unwrap();
    fs::write(root.join("large"), large).unwrap();
    site.image_of(&root, "local:large", &["CMD [\"/large\"]"]);
    registry.publish(&site, "local:large", "large", &good);
    drop(site.ask(&["rmi", "-f", "local:large"]));

    let Some(small) = Site::start_small(48).await else { return };
    small.serving("local:v1");
    let port = free_port();
    small.docker(&["run", "-d", "--name", "web-1", "-p", &format!("127.0.0.1:{port}:8080"), "local:v1"]);
    let image = registry.image("{{ version }}");
    let (driver, target) = small.driver(port, &format!("image = \"{image}\"\ncredentials = \"{good}\""));
    let full = update(&*driver, &target, ("v1", "large"), (1, 1)).await.unwrap_err();
    assert!(matches!(&full, FleetError::Failed(why) if why.contains("no space left on device")), "{full}");
    serves(port, "v1").await;
    assert_eq!(small.names(), ["web-1"]);
}

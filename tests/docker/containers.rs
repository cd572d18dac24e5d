//! What a replacement keeps and what it takes from the new image, the first container, the way back.

use std::fs;
use std::path::Path;

use rollout::config;
use rollout::ports::FleetError;
use serde_json::Value;

use crate::common::{free_port, wait_for};
use crate::site::{SERVES, Site, driver, serves, update, version};

#[tokio::test]
async fn all_that_the_image_did_not_give_stays() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    for tag in ["v1", "v2"] {
        let serves = format!("CMD [\"/bin/sh\", \"-c\", \"true {tag}; {SERVES}\"]");
        let (env, label) = (format!("ENV FROM={tag} BOTH=image"), format!("LABEL from={tag} both=image"));
        site.image(&format!("shop:{tag}"), &[&serves, &env, &label, "VOLUME /anonymous", "EXPOSE 8080"]);
    }
    site.docker(&["network", "create", "--subnet", "10.199.1.0/24", "back"]);
    site.docker(&["network", "create", "--subnet", "10.199.2.0/24", "front"]);
    fs::create_dir(site.path("bound")).unwrap();
    let bound = format!("{}:/bound:ro", site.path("bound").display());
    let publish = format!("127.0.0.1:{port}:8080");
    site.docker(&[
        "run",
        "-d",
        "--name",
        "web-1",
        "-p",
        &publish,
        "-v",
        &bound,
        "-v",
        "named:/named",
        "-v",
        "/extra",
        "--mount",
        "type=tmpfs,target=/scratch",
        "-e",
        "MINE=1",
        "-e",
        "BOTH=mine",
        "--label",
        "team=x",
        "--label",
        "both=mine",
        "--network",
        "back",
        "--ip",
        "10.199.1.77",
        "--network-alias",
        "shop",
        "--restart",
        "always",
        "--log-driver",
        "json-file",
        "--log-opt",
        "max-size=1m",
        "--memory",
        "64m",
        "--cpu-shares",
        "512",
        "--cap-drop",
        "NET_RAW",
        "--ulimit",
        "nofile=512",
        "--add-host",
        "db:10.0.0.9",
        "--user",
        "0:0",
        "--health-cmd",
        "test -f /www/health",
        "--health-interval",
        "1s",
        "--read-only",
        "--stop-signal",
        "SIGTERM",
        "--dns",
        "10.0.0.53",
        "shop:v1",
    ]);
    site.docker(&["network", "connect", "--alias", "shop-front", "--ip", "10.199.2.78", "front", "web-1"]);
    site.docker(&["exec", "web-1", "sh", "-c", "echo kept > /anonymous/file; echo kept > /extra/file"]);
    let before = site.inspect("web-1");

    let (driver, target) = site.driver(port, "");
    assert_eq!(driver.observe(&target).await.unwrap().version, Some(version("v1")), "by its image's tag");
    assert_eq!(driver.check(&target, &version("v2")).await, Vec::<String>::new());
    update(&*driver, &target, ("v1", "v2"), (1, 1)).await.unwrap();
    serves(port, "v2").await;
    let after = site.inspect("web-1");
    assert_ne!(before["Id"], after["Id"]);
    assert_eq!(site.docker(&["exec", "web-1", "cat", "/anonymous/file", "/extra/file"]), "kept\nkept");
    same_but_for_the_image(&before, &after);
    assert_eq!(driver.observe(&target).await.unwrap().version, Some(version("v2")));

    // The old one waits, and a daemon that is started anew leaves it alone.
    let old = site.inspect("web-1-rollout-old");
    assert_eq!((&old["Id"], &old["State"]["Running"]), (&before["Id"], &Value::from(false)));
    assert_eq!(old["HostConfig"]["RestartPolicy"]["Name"], "no");

    // The way back is the old container itself, as it was.
    assert_eq!(driver.check(&target, &version("v1")).await, Vec::<String>::new());
    update(&*driver, &target, ("v2", "v1"), (1, 2)).await.unwrap();
    serves(port, "v1").await;
    let back = site.inspect("web-1");
    assert_eq!((&back["Id"], &back["HostConfig"]), (&before["Id"], &before["HostConfig"]));
    assert_eq!(site.inspect("web-1-rollout-old")["Id"], after["Id"], "the one that was given up is kept as evidence");

    // The same order once more changes nothing, and the next version leaves two containers, not three.
    update(&*driver, &target, ("v2", "v1"), (1, 2)).await.unwrap();
    assert_eq!(site.inspect("web-1")["State"]["StartedAt"], back["State"]["StartedAt"]);
    update(&*driver, &target, ("v1", "v2"), (2, 1)).await.unwrap();
    serves(port, "v2").await;
    assert_eq!(site.names(), ["web-1", "web-1-rollout-old"]);
    assert_eq!(site.inspect("web-1-rollout-old")["Id"], before["Id"]);
    assert_ne!(site.inspect("web-1")["Id"], after["Id"], "made anew");
    same_but_for_the_image(&before, &site.inspect("web-1"));
}

fn same_but_for_the_image(before: &Value, after: &Value) {
    let has = |list: &Value, one: &str| list.as_array().unwrap().iter().any(|entry| entry == one);
    let env = &after["Config"]["Env"];
    assert!(has(env, "MINE=1") && has(env, "BOTH=mine") && has(env, "FROM=v2") && !has(env, "FROM=v1"), "{env}");
    let labels = &after["Config"]["Labels"];
    assert_eq!((&labels["team"], &labels["both"], &labels["from"]), (&"x".into(), &"mine".into(), &"v2".into()));
    assert!(after["Config"]["Cmd"].to_string().contains("true v2"), "{}", after["Config"]["Cmd"]);
    for key in ["User", "Healthcheck", "StopSignal"] {
        assert_eq!(before["Config"][key], after["Config"][key], "{key}");
    }
    let (mut was, mut is) = (before["HostConfig"].clone(), after["HostConfig"].clone());
    // Now named: the volumes without a name.
    let binds: Vec<String> = is["Binds"].as_array().unwrap().iter().map(|bind| bind.as_str().unwrap().to_owned()).collect();
    assert!(["/anonymous", "/extra"].iter().all(|target| binds.iter().any(|bind| bind.ends_with(target))), "{binds:?}");
    for host in [&mut was, &mut is] {
        host["Binds"] = host["Binds"].as_array().unwrap()[..2].into();
    }
    assert_eq!(was, is);
    let networks = |of: &Value, name: &str| of["NetworkSettings"]["Networks"][name].clone();
    for (name, address, alias) in [("back", "10.199.1.77", "shop"), ("front", "10.199.2.78", "shop-front")] {
        let network = networks(after, name);
        assert_eq!(network["IPAddress"], address);
        assert!(has(&network["Aliases"], alias), "{network}");
        let old = before["Id"].as_str().unwrap().get(..12).unwrap();
        assert!(!has(&network["Aliases"], old), "the old one's id is no name of the new one: {network}");
    }
}

#[tokio::test]
async fn a_port_that_docker_chose_stays_there_and_back() {
    let Some(site) = Site::start().await else { return };
    site.serving("shop:v1");
    site.serving("shop:v2");
    site.serving("shop:v3");
    site.docker(&["run", "-d", "--name", "web-1", "-p", "127.0.0.1::8080", "shop:v1"]);
    let chosen = site.docker(&["port", "web-1", "8080/tcp"]);
    let port = chosen.rsplit(':').next().unwrap().parse().unwrap();
    let (driver, target) = site.driver(port, "");
    update(&*driver, &target, ("v1", "v2"), (1, 1)).await.unwrap();
    serves(port, "v2").await;
    // The kept one would be given another port, so the way back is a new container.
    update(&*driver, &target, ("v2", "v1"), (1, 2)).await.unwrap();
    serves(port, "v1").await;
    // That one has the port by name.
    update(&*driver, &target, ("v1", "v3"), (2, 1)).await.unwrap();
    let kept = site.inspect("web-1-rollout-old")["Id"].clone();
    update(&*driver, &target, ("v3", "v1"), (2, 2)).await.unwrap();
    serves(port, "v1").await;
    assert_eq!(site.inspect("web-1")["Id"], kept);
}

#[tokio::test]
async fn the_first_container_is_made_as_the_file_says() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    site.serving("shop:v1");
    site.serving("shop:v2");
    site.docker(&["network", "create", "--subnet", "10.199.3.0/24", "back"]);
    let none = site.driver(port, "").0;
    let target = site.driver(port, "").1;
    let seen = none.observe(&target).await.unwrap();
    assert_eq!((seen.version, seen.running), (None, Some(false)));
    assert_eq!(seen.ended.as_deref(), Some("there is no container web-1"));
    let complaints = none.check(&target, &version("v1")).await;
    assert!(complaints.iter().any(|why| why.contains("there is no container web-1 to take after")), "{complaints:?}");
    assert!(complaints.iter().all(|why| why.contains("container_port")), "{complaints:?}");

    let docker = "container = \"shop-{{ instance.id }}\"\ncontainer_port = 8080\nmounts = [\"data-{{ instance.id }}:/data\"]\n\
                  networks = [\"bridge\", \"back\"]\nrestart = \"on-failure:3\"\nkeep_old = false\n[update.docker.labels]\n\
                  \"zone.of\" = \"{{ instance.id }}\"";
    let config = site.config_with(port, docker, "[update.env]\nTOKEN = \"one\"\nGONE = \"yes\"\n");
    let (first, target) = driver(&config);
    assert_eq!(first.check(&target, &version("v1")).await, Vec::<String>::new());
    update(&*first, &target, ("", "v1"), (1, 1)).await.unwrap();
    serves(port, "v1").await;
    let made = site.inspect("shop-web-1");
    assert_eq!(made["HostConfig"]["PortBindings"]["8080/tcp"][0]["HostIp"], "127.0.0.1");
    assert_eq!(made["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    assert_eq!(made["Config"]["Labels"]["zone.of"], "web-1");
    assert!(made["NetworkSettings"]["Networks"]["back"].is_object() && made["NetworkSettings"]["Networks"]["bridge"].is_object());
    assert_eq!(made["Mounts"][0]["Name"], "data-web-1");

    // Variables of the file go with the file; without keep_old nothing is left behind.
    let config = site.config_with(port, docker, "[update.env]\nTOKEN = \"two\"\n");
    let (second, target) = driver(&config);
    update(&*second, &target, ("v1", "v2"), (2, 1)).await.unwrap();
    serves(port, "v2").await;
    let env = site.inspect("shop-web-1")["Config"]["Env"].to_string();
    assert!(env.contains("TOKEN=two") && !env.contains("TOKEN=one") && !env.contains("GONE"), "{env}");
    assert_eq!(site.names(), ["shop-web-1"]);
    assert!(second.owns(&target).await);
    // A version that nobody has, and a port that somebody has: said before anything is touched.
    let complaints = second.check(&target, &version("v9")).await;
    assert!(complaints.iter().any(|why| why.contains("shop:v9")), "{complaints:?}");
    let (stranger, target) = site.driver(port, "container_port = 8080");
    let complaints = stranger.check(&target, &version("v1")).await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints.iter().all(|why| why.contains("is published by container shop-web-1 already")), "{complaints:?}");
}

#[tokio::test]
async fn as_in_its_example() {
    let Some(site) = Site::start().await else { return };
    for tag in ["v1", "v2"] {
        site.serving(&format!("shop:{tag}"));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/docker.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    let (port, srv) = (free_port(), site.path("srv").display().to_string());
    fs::create_dir(&srv).unwrap();
    for (from, to) in [
        ("unix:///var/run/docker.sock", site.host.as_str()),
        ("registry.example.com/shop", "shop"),
        ("/srv/shop:/data", &format!("{srv}:/data")),
        ("port = \"[8081:8084]\"", &format!("port = {port}")),
        ("shop-[1:4]", "shop-[1:1]"),
        ("min_serving = 2", "min_serving = 0"),
        ("max_unavailable = 2", "max_unavailable = 1"),
    ] {
        assert!(text.contains(from), "the example has no {from}");
        text = text.replace(from, to);
    }
    let config = config::read(&file, &text, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    let (driver, target) = driver(&config);
    assert_eq!(driver.check(&target, &version("v1")).await, Vec::<String>::new());
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    update(&*driver, &target, ("v1", "v2"), (2, 1)).await.unwrap();
    serves(port, "v2").await;
    let made = site.inspect("shop-1");
    assert_eq!(made["Config"]["Labels"]["team"], "shop");
    assert!(made["Config"]["Env"].to_string().contains("SHOP_MODE=production"));
    assert_eq!(made["HostConfig"]["Binds"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn healthcheck_is_awaited_where_the_file_asks_for_it() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    let serves_cmd = format!("CMD [\"/bin/sh\", \"-c\", \"{SERVES}\"]");
    let well = "HEALTHCHECK --interval=200ms --retries=2 CMD [\"/bin/test\", \"-f\", \"/www/health\"]";
    site.image("shop:v1", &[&serves_cmd, well]);
    let ill = "HEALTHCHECK --interval=200ms --retries=2 CMD [\"/bin/cat\", \"/nothing\"]";
    site.image("shop:v2", &[&serves_cmd, ill]);
    let (driver, target) = site.driver(port, "container_port = 8080\nawait_healthy = true");
    update(&*driver, &target, ("", "v1"), (1, 1)).await.unwrap();
    assert_eq!(site.inspect("web-1")["State"]["Health"]["Status"], "healthy");
    let failed = update(&*driver, &target, ("v1", "v2"), (2, 1)).await.unwrap_err();
    assert!(
        matches!(&failed, FleetError::Failed(why) if why.contains("unhealthy: exit code 1") && why.contains("/nothing")),
        "{failed}"
    );
    // It runs all the same, and that is what is observed.
    let seen = driver.observe(&target).await.unwrap();
    assert_eq!((seen.version, seen.running, seen.ended), (Some(version("v2")), Some(true), None));
    update(&*driver, &target, ("v2", "v1"), (2, 2)).await.unwrap();
    wait_for("v1 again", async || (site.inspect("web-1")["State"]["Health"]["Status"] == "healthy").then_some(())).await;
}

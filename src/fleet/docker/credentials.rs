//! Who we are at a registry, as docker's own client knows it: `config.json` and its credential helpers.
//!
//! Imports: os. May not: print, log or keep what it reads.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::reference::DOCKER_HUB;
use crate::os::program::INHERITED;
use crate::os::{file, own};

/// More than any file of this kind has, and any answer of a helper.
const LARGEST: u64 = 1024 * 1024;
/// For a helper.
const PATIENCE: Duration = Duration::from_secs(10);
/// As `config.json` names Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What is sent along with a request to a registry; none for one that asks nobody.
pub(super) type Login = Option<DockerCredentials>;

/// Ours at `registry`, by the file given, else by docker's own.
///
/// # Errors
/// Fails with a sentence, which never has a secret in it.
pub(super) async fn login(given: Option<&Path>, registry: &str) -> Result<Login, String> {
    let Some(path) = given.map(Path::to_owned).or_else(usual) else { return Ok(None) };
    let bytes = match file::read(&path, LARGEST) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound && given.is_none() => return Ok(None),
        Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
    };
    // The error of a reader could repeat what it read.
    let config: Value = serde_json::from_slice(&bytes).map_err(|_| format!("{} is no JSON", path.display()))?;
    let keys = keys(registry);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let of_registry = keys.iter().find_map(|key| text(config.get("credHelpers")?.get(key)?));
    if let Some(helper) = of_registry.or_else(|| text(config.get("credsStore")?)) {
        return ask(&helper, keys.first().map_or(registry, String::as_str)).await;
    }
    let Some(entry) = keys.iter().find_map(|key| config.get("auths")?.get(key)) else { return Ok(None) };
    of_entry(entry, registry)
        .map(Some)
        .ok_or_else(|| format!("{} has no usable auth for {registry}; run docker login {registry}", path.display()))
}

/// Where docker's own client looks.
fn usual() -> Option<PathBuf> {
    let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let dir = dir.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(dir.join("config.json"))
}

/// The names under which a registry may stand in the file, the one that docker itself writes first.
fn keys(registry: &str) -> Vec<String> {
    if registry == DOCKER_HUB {
        return [HUB_KEY, "docker.io", "index.docker.io"].map(str::to_owned).to_vec();
    }
    vec![registry.to_owned(), format!("https://{registry}"), format!("https://{registry}/v1/"), format!("https://{registry}/v2/")]
}

fn of_entry(entry: &Value, registry: &str) -> Login {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut login = DockerCredentials { serveraddress: Some(registry.to_owned()), ..DockerCredentials::default() };
    if let Some(token) = text("identitytoken") {
        login.identitytoken = Some(token);
        return Some(login);
    }
    let pair = text("auth").and_then(|auth| {
        let bytes = BASE64_STANDARD.decode(auth.trim()).ok()?;
        let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
    });
    let (user, password) = pair.or_else(|| Some((text("username")?, text("password")?)))?;
    (login.username, login.password) = (Some(user), Some(password));
    Some(login)
}

/// Asks `docker-credential-HELPER`, which is told the registry on its stdin.
async fn ask(helper: &str, key: &str) -> Result<Login, String> {
    if !helper.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(format!("{helper:?} is no name of a credential helper"));
    }
    let name = format!("docker-credential-{helper}");
    let asked =
        timeout(PATIENCE, run(&name, key)).await.map_err(|_| format!("{name} did not answer in {}s", PATIENCE.as_secs()))?;
    let (ended_well, answer) = asked.map_err(|e| format!("{name}: {e}"))?;
    if !ended_well {
        // What it prints then is a sentence like "credentials not found": an open registry.
        return if answer.contains("not found") { Ok(None) } else { Err(format!("{name} get failed for {key}")) };
    }
    let value: Value = serde_json::from_str(&answer).map_err(|_| format!("{name} answers with something that is no JSON"))?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let (Some(user), Some(secret)) = (text("Username"), text("Secret")) else {
        return Err(format!("{name} answers without Username and Secret"));
    };
    let login = DockerCredentials { serveraddress: Some(key.to_owned()), ..DockerCredentials::default() };
    Ok(Some(if user == "<token>" {
        DockerCredentials { identitytoken: Some(secret), ..login }
    } else {
        DockerCredentials { username: Some(user), password: Some(secret), ..login }
    }))
}

async fn run(program: &str, key: &str) -> io::Result<(bool, String)> {
    let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .arg("get")
        .env_clear()
        .envs(inherited)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        own::give_back_core_file(pid);
    }
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read what it is told has its answer all the same.
        drop(stdin.write_all(key.as_bytes()).await);
    }
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LARGEST).read_to_end(&mut answer).await?;
    }
    let status = child.wait().await?;
    Ok((status.success(), String::from_utf8_lossy(&answer).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(config: &str, registry: &str) -> Result<Login, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        login(Some(&path), registry).await
    }

    #[tokio::test]
    async fn logins_are_found_as_docker_writes_them() {
        let auths = r#"{"auths":{"registry.example.com":{"auth":"ZGVwbG95OnM6ZWNyZXQ="},"https://index.docker.io/v1/":{"auth":"YTpi"},"t:5000":{"identitytoken":"T"},"bad":{"auth":"%%"}}}"#;
        let found = of(auths, "registry.example.com").await.unwrap().unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("deploy"), Some("s:ecret")));
        assert_eq!(of(auths, DOCKER_HUB).await.unwrap().unwrap().username.as_deref(), Some("a"));
        assert_eq!(of(auths, "t:5000").await.unwrap().unwrap().identitytoken.as_deref(), Some("T"));
        assert!(of(auths, "other").await.unwrap().is_none(), "an open registry");
        assert!(of(auths, "bad").await.unwrap_err().contains("docker login bad"));
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_without_a_secret() {
        let error = of(r#"{"auths": "ZGVwbG95OnMz"#, "a").await.unwrap_err();
        assert!(error.contains("is no JSON") && !error.contains("ZGV"), "{error}");
        let error = of(r#"{"credsStore":"../../x"}"#, "a").await.unwrap_err();
        assert!(error.contains("no name of a credential helper"), "{error}");
        let error = of(r#"{"credsStore":"not-installed-here"}"#, "a").await.unwrap_err();
        assert!(error.contains("docker-credential-not-installed-here"), "{error}");
    }
}

//! A Prometheus that reads the metrics of servers every half second, with the alerts of `deploy/monitoring`, of which each minute lasts
//! half a second.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
use tempfile::TempDir;

use crate::peers::monitoring::{RULES, text, yaml};
use crate::support::peers::{Running, command, until};
use crate::support::program::request;

/// How often metrics are read, and the rules evaluated.
const INTERVAL: &str = "500ms";
/// How many milliseconds a minute of the rules lasts.
const MINUTE: u64 = 500;
/// A silence that is one, in an expression, and what becomes of its 180 s.
const SILENCE: [&str; 2] = ["headless_dns_watch_age_seconds > 180", "headless_dns_watch_age_seconds > 1.5"];

/// The alert that fires when no server is there.
pub const ABSENT: &str = "HeadlessDnsAbsent";
/// In the place of a server where an alert is about none in particular.
pub const NO_SERVER: &str = "";

/// Alerts that fire: the server that each is about, and its name.
pub type Firing = BTreeSet<(String, String)>;

/// Prometheus, until it is dropped.
pub struct Prometheus {
    _running: Running,
    _folder: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts it with servers to read, by their names, and a kubelet.
    pub fn start(servers: &[(&str, SocketAddr)], kubelet: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let target = |(name, address): &(&str, SocketAddr)| json!({ "targets": [address.to_string()], "labels": { "namespace": "dns", "pod": name } });
        let targets: Vec<_> = servers.iter().map(target).collect();
        let config = json!({
            "global": { "scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                { "job_name": "headless-dns", "static_configs": targets },
                { "job_name": "kubelet", "static_configs": [{ "targets": [kubelet.to_string()] }] },
            ],
        });
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("prometheus.yml"), config.to_string()).expect("written");
        fs::write(path("rules.yaml"), impatient_rules()).expect("written");
        let running = Running::start(command("prometheus").args([
            format!("--config.file={}", path("prometheus.yml")),
            format!("--storage.tsdb.path={}", path("data")),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ]));
        let address = running.until("the address of Prometheus", |lines| {
            let line = lines.iter().find(|line| line.text.contains("msg=\"Listening on\""))?;
            line.text.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
        });
        let prometheus = Self { _running: running, _folder: folder, address };
        // It begins to read after five seconds. Until then no server is there for it, which is an alert too.
        until("a Prometheus that reads all of them", || prometheus.has_read(servers.len() + 1).then_some(()));
        prometheus
    }

    /// Whether it reads so many targets, and says of none any more that there is nothing.
    fn has_read(&self, targets: usize) -> bool {
        let (_, page) = request(self.address, "GET", "/api/v1/targets", "");
        let read = page.matches(r#""health":"up""#).count();
        read == targets && !self.is_absent()
    }

    /// Whether the alert fires that no server is there.
    pub fn is_absent(&self) -> bool {
        self.firing().contains(&(NO_SERVER.to_owned(), ABSENT.to_owned()))
    }

    /// The alerts that fire now.
    pub fn firing(&self) -> Firing {
        let (_, page) = request(self.address, "GET", "/api/v1/alerts", "");
        let page: Value = serde_json::from_str(&page).unwrap_or_else(|error| panic!("{error}: {page}"));
        let firing =
            page["data"]["alerts"].as_array().expect("alerts").iter().filter(|alert| alert["state"] == "firing");
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        firing.map(|alert| (label(alert, "pod"), label(alert, "alertname"))).collect()
    }
}

/// The rules, with less patience. A window stays as it is deployed, because servers that have run for less have what is there; one that is
/// compared with another one, further back, is shortened too.
fn impatient_rules() -> String {
    let mut rules = yaml(RULES)["spec"].clone();
    let groups = rules["groups"].as_sequence_mut().expect("groups").iter_mut();
    for rule in groups.flat_map(|group| group["rules"].as_sequence_mut().expect("rules")) {
        if let Some(patience) = rule.get("for") {
            rule["for"] = Yaml::from(shortened(text(patience)));
        }
        let expression = text(&rule["expr"]).replace(SILENCE[0], SILENCE[1]);
        let compares = expression.contains(" offset ");
        rule["expr"] = Yaml::from(if compares { shortened(&expression) } else { expression });
    }
    serde_yaml_ng::to_string(&rules).expect("YAML")
}

/// A text in which each `5m` is so many milliseconds.
fn shortened(text: &str) -> String {
    let mut shortened = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let (number, after) = from.split_at(from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len()));
        shortened += before;
        match (number.parse::<u64>(), after.strip_prefix('m')) {
            (Ok(minutes), Some(after)) => {
                shortened += &format!("{}ms", minutes * MINUTE);
                rest = after;
            }
            _ => {
                shortened += number;
                rest = after;
            }
        }
    }
    shortened + rest
}

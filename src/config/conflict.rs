//! Combinations of options that cannot be: each value is fine by itself.

use super::{
    Config,
    parse::overlap,
    source::{Origin, Problem, Settings},
};

/// Adds a problem for each pair of options of `config` that contradict each other.
pub fn check(config: &Config, settings: &Settings, problems: &mut Vec<Problem>) {
    if let Some(admin) = config.admin
        && let Some(listen) = config.listen.iter().find(|listen| overlap(listen, &admin))
    {
        let message =
            format!("found {admin}, which is taken by listen ({listen}), allowed is an address or port of its own");
        problems.push(problem(settings, "admin", "listen", message));
    }
    if config.tcp_max_connections_per_client > config.tcp_max_connections {
        let message = format!(
            "found {}, allowed is no more than tcp_max_connections ({})",
            config.tcp_max_connections_per_client, config.tcp_max_connections
        );
        problems.push(problem(settings, "tcp_max_connections_per_client", "tcp_max_connections", message));
    }
}

/// The problem of `key` with `other`, placed at the one that somebody set.
fn problem(settings: &Settings, key: &str, other: &str, message: String) -> Problem {
    match (settings.origin(key), settings.origin(other)) {
        (Origin::Default, set) if *set != Origin::Default => {
            Problem::new(set.clone(), other.to_owned(), format!("with {key}: {message}"))
        }
        (set, _) => Problem::new(set.clone(), key.to_owned(), message),
    }
}

//! Combinations of options that contradict each other although each value is valid by itself.

use ipnet::IpNet;

use super::Config;
use super::parse::{is_at_or_below, overlap};
use super::source::{Origin, Problem, Settings};
use crate::dns::name::Name;

/// Adds a problem for each pair of options of `config` that contradict each other.
pub fn check(config: &Config, settings: &Settings, problems: &mut Vec<Problem>) {
    check_addresses(config, settings, problems);
    check_certificate(config, settings, problems);
    if config.share_address && !config.quic_listen.is_empty() {
        let message = "found true; expected false when quic_listen is on, because a QUIC connection belongs to one \
                       process";
        problems.push(problem(settings, "share_address", "quic_listen", message.to_owned()));
    }
    check_public_view(config, settings, problems);
    if config.transfer_clients.is_empty() {
        let unused = [("transfer_keys", config.transfer_keys.is_empty()), ("notify", config.notify.is_empty())];
        for (key, _) in unused.into_iter().filter(|(_, is_empty)| !is_empty) {
            let message = format!(
                "found none; expected the networks of the secondaries, such as [\"10.0.0.2/32\"], as {key} is about nobody else"
            );
            problems.push(problem(settings, "transfer_clients", key, message));
        }
    }
    if config.tcp_max_connections_per_client > config.tcp_max_connections {
        let message = format!(
            "found {}; expected no more than tcp_max_connections ({})",
            config.tcp_max_connections_per_client, config.tcp_max_connections
        );
        problems.push(problem(settings, "tcp_max_connections_per_client", "tcp_max_connections", message));
    }
}

/// What is valid and yet likely a mistake.
pub fn warnings(config: &Config) -> Vec<String> {
    let listening = [&config.listen, &config.tls_listen, &config.https_listen, &config.quic_listen];
    let beyond_this_host = listening.into_iter().flatten().find(|address| !address.ip().is_loopback());
    let everybody = |networks: &[IpNet]| networks.iter().find(|network| network.prefix_len() == 0).copied();
    let mut warnings = Vec::new();
    if let (Some(address), Some(network), false) =
        (beyond_this_host, everybody(&config.forward_clients), config.forward.is_empty())
    {
        warnings.push(format!(
            "forward_clients has {network} and the server listens on {address}: everybody who reaches it may have names \
             forwarded, and a server like that is abused for attacks on others; name the networks of its clients"
        ));
    }
    if let (Some(network), true) = (everybody(&config.transfer_clients), config.transfer_keys.is_empty()) {
        warnings.push(format!(
            "transfer_clients has {network} and there are no transfer_keys: everybody who reaches the server may have every \
             record; name the networks of the secondaries, or give them a key"
        ));
    }
    let has_address =
        !config.nameservers.is_empty() || config.listen.iter().any(|address| !address.ip().is_unspecified());
    if !config.transfer_clients.is_empty() && !has_address {
        warnings.push(
            "zones are transferred and their name server has no address (nameservers): some secondaries refuse such a zone"
                .to_owned(),
        );
    }
    warnings
}

/// What belongs to the public view takes a view, and a view somebody who may have it.
fn check_public_view(config: &Config, settings: &Settings, problems: &mut Vec<Problem>) {
    let Some(origin) = &config.public_origin else {
        let unused = [
            ("public_namespaces", config.public_namespaces.is_empty()),
            ("public_nameservers", config.public_nameservers.is_empty()),
            ("public_clients", config.public_clients.is_empty()),
            ("public_keys", config.public_keys.is_empty()),
            ("public_notify", config.public_notify.is_empty()),
        ];
        for (key, _) in unused.into_iter().filter(|(_, is_empty)| !is_empty) {
            let message = "found none; expected the zone of the public view, as there is more about it".to_owned();
            problems.push(problem(settings, "public_origin", key, message));
        }
        return;
    };
    let shown = origin.to_string();
    let shown = shown.trim_end_matches('.');
    let contains = |one: &Name, other: &Name| is_at_or_below(other, one);
    for (key, zones) in [("zones", &config.zones), ("reverse_zones", &config.reverse_zones)] {
        if let Some(zone) = zones.iter().find(|zone| contains(zone, origin) || contains(origin, zone)) {
            let message = format!("found {shown}; expected a zone that is neither below {zone} nor above it");
            problems.push(problem(settings, "public_origin", key, message));
        }
    }
    if config.public_nameservers.is_empty() {
        let message = "found none; expected the names of the servers that answer for the public view".to_owned();
        problems.push(problem(settings, "public_nameservers", "public_origin", message));
    }
    if let Some(name) = config.public_nameservers.iter().find(|name| contains(origin, name)) {
        let message = format!("found {name}; expected names outside the public view, which has no addresses for them");
        problems.push(problem(settings, "public_nameservers", "public_origin", message));
    }
    if config.transfer_clients.is_empty() && config.public_clients.is_empty() {
        let message = "found none; expected the networks of those who may transfer the public view".to_owned();
        problems.push(problem(settings, "public_clients", "public_origin", message));
    }
}

/// No two options may claim the same port of the same address over the same protocol.
fn check_addresses(config: &Config, settings: &Settings, problems: &mut Vec<Problem>) {
    let listen = ("listen", &*config.listen);
    let over_tcp = [
        listen,
        ("tls_listen", &config.tls_listen),
        ("https_listen", &config.https_listen),
        ("admin", config.admin.as_slice()),
        ("probes", config.probes.as_slice()),
    ];
    let over_udp = [listen, ("quic_listen", &config.quic_listen)];
    for claims in [&over_tcp[..], &over_udp] {
        for (index, (key, addresses)) in claims.iter().enumerate() {
            for (other, taken) in &claims[..index] {
                let mut pairs = addresses.iter().flat_map(|address| taken.iter().map(move |taken| (address, taken)));
                let Some((address, taken)) = pairs.find(|(address, taken)| overlap(taken, address)) else { continue };
                let message = format!(
                    "found {address}, which {other} uses ({taken}); expected an address or port that no other option uses"
                );
                problems.push(problem(settings, key, other, message));
            }
        }
    }
}

/// Encrypted transports need a certificate and its key.
fn check_certificate(config: &Config, settings: &Settings, problems: &mut Vec<Problem>) {
    let lists = [
        ("tls_listen", &config.tls_listen),
        ("https_listen", &config.https_listen),
        ("quic_listen", &config.quic_listen),
    ];
    let Some((needing, _)) = lists.into_iter().find(|(_, addresses)| !addresses.is_empty()) else { return };
    for (key, file) in [("tls_cert", &config.tls_cert), ("tls_key", &config.tls_key)] {
        if file.is_none() {
            let message = format!("found none, but {needing} needs a PEM file");
            problems.push(problem(settings, key, needing, message));
        }
    }
}

/// The conflict of `key` with `other`, reported at the one that is not a default.
fn problem(settings: &Settings, key: &str, other: &str, message: String) -> Problem {
    match (settings.origin(key), settings.origin(other)) {
        (Origin::Default, set) if *set != Origin::Default => {
            Problem::new(set.clone(), other.to_owned(), format!("with {key}: {message}"))
        }
        (set, _) => Problem::new(set.clone(), key.to_owned(), message),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{from_file, problems};

    /// X8.
    #[test]
    fn what_a_public_view_needs_is_asked_for_and_what_needs_one_is_not_passed_over() {
        let view = "public_origin = 'peers.example.com'\npublic_nameservers = ['ns1.example.org']\n";
        from_file(&format!("{view}public_clients = ['192.0.2.0/24']")).expect("valid");
        from_file(&format!("{view}transfer_clients = ['192.0.2.0/24']")).expect("valid");
        for (text, expected) in [
            (view.to_owned(), "with public_clients: found none; expected the networks of those who may transfer"),
            (
                "public_keys = ['/keys']".to_owned(),
                "with public_origin: found none; expected the zone of the public view",
            ),
            (
                view.replace("ns1.example.org", "ns.peers.example.com"),
                "found ns.peers.example.com.; expected names outside",
            ),
            (
                view.replace("peers.example.com", "svc.cluster.local"),
                "found svc.cluster.local; expected a zone that is neither",
            ),
            (
                format!("{view}zones = ['cluster.local', 'a.peers.example.com']"),
                "neither below a.peers.example.com. nor above",
            ),
            (
                "public_origin = 'peers.example.com'".to_owned(),
                "with public_nameservers: found none; expected the names",
            ),
            ("public_origin = '1.in-addr.arpa'".to_owned(), "expected a forward zone"),
        ] {
            let found = problems(&text);
            assert!(found.iter().any(|problem| problem.contains(expected)), "{text}: {found:#?}");
        }
    }
}

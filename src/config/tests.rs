//! From values to the configuration or to messages.

use std::io::Write;

use super::*;

fn load(
    file: Option<&str>,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &[&str])],
) -> Result<Effective, String> {
    let file = file.map(|text| {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        file
    });
    let path = file.as_ref().map(|file| file.path());
    let variables = variables.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
    let flags: Vec<_> =
        flags.iter().map(|(key, texts)| (*key, texts.iter().map(|text| text.to_string()).collect())).collect();
    Config::load(path, variables, &flags).map_err(|error| {
        let text = error.to_string();
        path.map_or(text.clone(), |path| text.replace(&path.display().to_string(), "FILE"))
    })
}

pub(super) fn from_file(text: &str) -> Result<Config, String> {
    load(Some(text), &[], &[]).map(|effective| effective.config)
}

/// The messages for a file, without the line that introduces them.
pub(super) fn problems(text: &str) -> Vec<String> {
    let error = from_file(text).expect_err("a problem");
    error.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::parse(text).expect("a name")).collect()
}

fn labels(texts: &[&str]) -> Vec<Label> {
    texts.iter().map(|text| Label::parse(text).expect("a label")).collect()
}

fn defaults() -> Config {
    load(None, &[], &[]).expect("the defaults are valid").config
}

#[test]
fn the_defaults_are_these() {
    let config = defaults();
    assert_eq!(config.zones, names(&["cluster.local"]));
    assert_eq!(config.reverse_zones, names(&["in-addr.arpa", "ip6.arpa"]));
    assert_eq!((config.ttl, config.negative_ttl), (5, 1));
    assert_eq!(config.listen, ["127.0.0.1:5300".parse().expect("an address")]);
    assert_eq!(config.admin, Some("127.0.0.1:8053".parse().expect("an address")));
    assert!(config.namespaces.is_empty() && config.nameservers.is_empty());
    assert_eq!((config.kubeconfig, config.context, config.hostmaster), (None, None, None));
    assert_eq!((config.chaos_version, config.chaos_id), (None, None));
    assert_eq!((config.log_level.to_string().as_str(), config.log_format), ("info", LogFormat::Text));
    assert_eq!(config.edns_udp_size, 1232);
    assert_eq!(config.tcp_idle_timeout, Duration::from_secs(10));
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
}

#[test]
fn the_documented_file_is_what_the_declarations_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/headless-dns.toml");
    let file = std::fs::read_to_string(path).expect("the file is in the repository");
    let expected = documented_defaults();
    assert_eq!(file, expected, "`headless-dns check-config --defaults` prints the file as it should be");
    assert_eq!(from_file(&file), Ok(defaults()));
}

#[test]
fn every_option_is_documented_and_its_documentation_fits_a_line() {
    for option in OPTIONS {
        assert!(option.summary().ends_with(['.', ';', ')']), "{}: {}", option.key, option.summary());
        assert!(option.documentation().all(|line| line.len() <= 118), "{}", option.key);
    }
}

/// The bounds of an option as its documentation has them.
fn documented_bounds(option: &Opt) -> Option<(i64, i64)> {
    let text = option.documentation().find_map(|line| line.strip_prefix("From "))?;
    let mut words = text.split([' ', ',', '.']);
    let low = words.next()?.parse().ok()?;
    let high = words.nth(1)?.parse().ok()?;
    Some((low, high))
}

#[test]
fn the_documented_bounds_are_those_that_hold() {
    for option in OPTIONS.iter().filter(|option| option.default.parse::<i64>().is_ok()) {
        let (low, high) = documented_bounds(option).expect(option.key);
        let refused = |value: i64| {
            let error = load(Some(&format!("{} = {value}", option.key)), &[], &[]).err().unwrap_or_default();
            error.contains(&format!("{}: found {value}; expected a whole number from {low} to {high}", option.key))
        };
        assert!(!refused(low) && !refused(high), "{}", option.key);
        assert!(refused(low - 1) && refused(high + 1), "{}", option.key);
    }
}

#[test]
fn a_variable_overrides_the_file_and_a_flag_both() {
    let effective = load(
        Some("ttl = 10\nnegative_ttl = 2\nnamespaces = ['a']\nlog_level = 'warn'"),
        &[("HEADLESS_DNS_TTL", "20"), ("HEADLESS_DNS_NAMESPACES", "b, c"), ("PATH", "/bin")],
        &[("ttl", &["30"])],
    )
    .expect("valid");
    assert_eq!(effective.config.ttl, 30);
    assert_eq!(effective.config.negative_ttl, 2);
    assert_eq!(effective.config.namespaces, labels(&["b", "c"]));
    assert_eq!(effective.origin("ttl"), &Origin::Flag("--ttl".to_owned()));
    let printed = effective.to_toml();
    assert!(printed.contains("ttl = 30  # --ttl\n"), "{printed}");
    assert!(printed.contains(r#"namespaces = ["b", "c"]  # HEADLESS_DNS_NAMESPACES"#), "{printed}");
    assert!(printed.contains("edns_udp_size = 1232  # default\n"), "{printed}");
    assert!(from_file(&printed).is_ok_and(|config| config == effective.config));
}

#[test]
fn a_boolean_is_true_or_false_in_every_source() {
    for (file, variable, flag) in [("false", "false", "true"), ("true", "false", "true"), ("false", "true", "false")] {
        let file = format!("share_address = {file}");
        let variables = [("HEADLESS_DNS_SHARE_ADDRESS", variable)];
        let effective = load(Some(&file), &variables, &[]).expect("valid");
        assert_eq!(effective.config.share_address, variable == "true");
        let printed = format!("share_address = {variable}  # HEADLESS_DNS_SHARE_ADDRESS\n");
        assert!(effective.to_toml().contains(&printed), "{}", effective.to_toml());
        let effective = load(Some(&file), &variables, &[("share_address", &[flag])]).expect("valid");
        assert_eq!(effective.config.share_address, flag == "true");
    }
    assert_eq!(
        problems("share_address = 'true'"),
        ["FILE:1: share_address: found the string \"true\"; expected true or false without quotes"]
    );
    let error = load(None, &[], &[("share_address", &["yes"])]).expect_err("no truth");
    assert!(error.contains("--share-address: found \"yes\"; expected true or false"), "{error}");
}

#[test]
fn an_address_cannot_be_shared_together_with_quic() {
    let problems = problems("share_address = true\nquic_listen = ['[::1]:853']\ntls_cert = 'c'\ntls_key = 'k'");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("FILE:1: share_address: found true; expected false when quic_listen is on"));
}

#[test]
fn an_empty_list_in_a_variable_replaces_the_default() {
    let effective = load(None, &[("HEADLESS_DNS_REVERSE_ZONES", "")], &[]).expect("valid");
    assert!(effective.config.reverse_zones.is_empty());
}

#[test]
fn the_variable_config_names_the_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(b"ttl = 9").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    assert_eq!(load(None, &[("HEADLESS_DNS_CONFIG", path)], &[]).expect("valid").config.ttl, 9);
}

#[test]
fn all_problems_of_a_file_are_reported_at_once_with_their_lines() {
    assert_eq!(
        problems("ttl = 4000\n\nzone = ['x']\nnegative_ttl = '1'\nlog_format = 'xml'\nedns_udp_size = 100\n"),
        [
            "FILE:1: ttl: found 4000; expected a whole number from 0 to 3600",
            "FILE:3: found the unknown option zone; did you mean zones?",
            r#"FILE:4: negative_ttl: found the string "1"; expected a whole number without quotes"#,
            r#"FILE:5: log_format: found "xml"; expected "text" or "json""#,
            "FILE:6: edns_udp_size: found 100; expected a whole number from 512 to 4096",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_line() {
    let problems = problems("ttl = 5\nlisten = [\"127.0.0.1:53\"\n");
    assert!(problems[0].starts_with("FILE:2: not valid TOML: ") || problems[0].starts_with("FILE:3: "), "{problems:?}");
}

#[test]
fn a_file_of_another_kind_is_refused_in_a_few_lines() {
    let yaml = "zones:\n- cluster.local\n".repeat(50);
    let problems = problems(&yaml);
    assert!(problems.len() <= 5 && problems.iter().all(|problem| problem.contains("not valid TOML")), "{problems:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("/nonexistent/a.toml")), [], &[]).expect_err("no file");
    assert!(error.to_string().contains("/nonexistent/a.toml: the file cannot be read: "), "{error}");
}

#[test]
fn a_mistake_in_the_file_shows_though_a_flag_hides_it() {
    let error = load(Some("ttl = -1"), &[], &[("ttl", &["5"])]).expect_err("a problem");
    assert!(error.contains("FILE:1: ttl: found -1"), "{error}");
}

#[test]
fn an_unknown_variable_is_refused_but_not_those_that_the_kubelet_sets_for_a_service() {
    let error =
        load(None, &[("HEADLESS_DNS_TLL", "5"), ("HEADLESS_DNS_NEGATIVE_TTL", "x")], &[]).expect_err("a problem");
    assert!(
        error.contains("HEADLESS_DNS_TLL: found the unknown option HEADLESS_DNS_TLL; did you mean HEADLESS_DNS_TTL?")
    );
    assert!(error.contains(r#"HEADLESS_DNS_NEGATIVE_TTL: found "x"; expected a whole number"#), "{error}");
    let links = [
        ("HEADLESS_DNS_SERVICE_HOST", "10.0.0.1"),
        ("HEADLESS_DNS_SERVICE_PORT", "53"),
        ("HEADLESS_DNS_SERVICE_PORT_DNS_TCP", "53"),
        ("HEADLESS_DNS_PORT", "udp://10.0.0.1:53"),
        ("HEADLESS_DNS_PORT_53_UDP", "udp://10.0.0.1:53"),
        ("HEADLESS_DNS_PORT_53_UDP_ADDR", "10.0.0.1"),
        ("HEADLESS_DNS_ADMIN_SERVICE_HOST", "10.0.0.2"),
        ("HEADLESS_DNS_ADMIN_PORT_8053_TCP_PROTO", "tcp"),
    ];
    assert_eq!(load(None, &links, &[]).expect("valid").config, defaults());
}

#[test]
fn no_option_is_called_like_a_variable_that_the_kubelet_sets() {
    for option in OPTIONS {
        assert!(!source::is_service_link(&option.variable()), "{}", option.variable());
    }
}

#[test]
fn zones_are_names_in_lower_case_of_which_none_contains_another() {
    assert_eq!(from_file("zones = ['Cluster.Local.', 'k8s']").expect("valid").zones, names(&["cluster.local", "k8s"]));
    let long_label = "a".repeat(64);
    for (zones, message) in [
        ("[]", "zones: found []; expected one zone or more"),
        ("['']", r#"zones: found ""; expected a domain name"#),
        ("['.']", r#"zones: found "."; expected a domain name"#),
        ("['a..b']", r#"zones: found "a..b"; expected a domain name"#),
        ("['-a']", r#"zones: found "-a"; expected a domain name"#),
        ("['a b']", r#"zones: found "a b"; expected a domain name"#),
        (&format!("['{long_label}']"), "expected a domain name"),
        ("['a.b', 'A.b']", r#"zones: found "a.b" twice"#),
        ("['x.a.b', 'a.b']", r#"zones: found "x.a.b" below "a.b", allowed are zones of which none contains another"#),
        ("['10.in-addr.arpa']", "this one belongs in reverse_zones"),
        ("'a.b'", r#"zones: found the string "a.b"; expected a list of strings in brackets"#),
        ("[1]", "zones: found a list with an element that is not a string"),
    ] {
        let problems = problems(&format!("zones = {zones}"));
        assert!(problems.len() == 1 && problems[0].contains(message), "{zones}: {problems:?}");
    }
    assert!(from_file("zones = ['ab.c', 'b.c.d', 'b.c']").is_ok(), "a common ending is no containment");
}

#[test]
fn a_reverse_zone_may_be_a_network_on_a_label_boundary() {
    for (network, zone) in [
        ("10.0.0.0/8", "10.in-addr.arpa"),
        ("192.168.0.0/16", "168.192.in-addr.arpa"),
        ("10.1.2.3/32", "3.2.1.10.in-addr.arpa"),
        ("0.0.0.0/0", "in-addr.arpa"),
        ("fd00::/8", "d.f.ip6.arpa"),
        ("2001:db8::/32", "8.b.d.0.1.0.0.2.ip6.arpa"),
        ("::/0", "ip6.arpa"),
        ("168.192.in-addr.arpa", "168.192.in-addr.arpa"),
    ] {
        let config = from_file(&format!("reverse_zones = ['{network}']"));
        assert_eq!(config.expect("valid").reverse_zones, names(&[zone]), "{network}");
    }
    for (network, message) in [
        ("172.16.0.0/12", "expected a prefix that is a multiple of 8; give the smaller networks one by one"),
        ("10.1.0.0/8", r#"expected the network's own address: "10.0.0.0/8""#),
        ("10.0.0.0/33", "expected a prefix of at most 32 bits"),
        ("fd00::/129", "expected a prefix of at most 128 bits"),
        ("10.0.0.0/4294967304", "expected a prefix of at most 32 bits"),
        ("10/8", "expected a network"),
        ("fd00::/-8", "expected a network"),
        ("cluster.local", "expected a zone at or below in-addr.arpa or ip6.arpa"),
        ("256.in-addr.arpa", "expected a zone at or below in-addr.arpa"),
        ("10.ip6.arpa", "expected a zone at or below in-addr.arpa"),
    ] {
        let problems = problems(&format!("reverse_zones = ['{network}']"));
        assert!(problems.len() == 1 && problems[0].contains(message), "{network}: {problems:?}");
    }
    assert_eq!(
        problems("reverse_zones = ['10.0.0.0/8', '10.1.0.0/16']"),
        [
            r#"FILE:1: reverse_zones: found "1.10.in-addr.arpa" below "10.in-addr.arpa", allowed are zones of which none contains another"#
        ]
    );
}

#[test]
fn listeners_are_addresses_that_can_all_be_bound() {
    for listen in ["['0.0.0.0:53', '[::]:53']", "['127.0.0.1:0', '127.0.0.1:0']", "['127.0.0.1:53', '127.0.0.1:54']"] {
        assert!(from_file(&format!("listen = {listen}")).is_ok(), "{listen}");
    }
    for (listen, message) in [
        ("[]", "listen: found []; expected one ADDRESS:PORT or more"),
        ("['localhost:53']", r#"listen: found "localhost:53"; expected ADDRESS:PORT"#),
        ("['127.0.0.1']", "expected ADDRESS:PORT"),
        ("['::1:53']", "expected ADDRESS:PORT"),
        ("['127.0.0.1:70000']", "expected ADDRESS:PORT"),
        ("['0.0.0.0:53', '127.0.0.1:53']", "found 127.0.0.1:53 and 0.0.0.0:53, of which one covers the other"),
    ] {
        let problems = problems(&format!("listen = {listen}"));
        assert!(problems.len() == 1 && problems[0].contains(message), "{listen}: {problems:?}");
    }
}

#[test]
fn other_values_are_held_to_what_they_are_for() {
    for (line, message) in [
        ("namespaces = ['Db']", r#"namespaces: found "Db"; expected the name of a namespace"#),
        ("namespaces = ['a', 'a']", "namespaces: found a twice"),
        ("nameservers = ['0.0.0.0']", "no wildcard"),
        ("hostmaster = 'dns@example.com'", r#"the mailbox with a dot in place of the @: "dns.example.com""#),
        ("chaos_version = 'ü'", "printable ASCII"),
        ("admin = ''", r#"admin: found ""; expected ADDRESS:PORT"#),
        ("admin = 'on'", r#"or "off""#),
        ("log_level = 'loud'", r#"log_level: found "loud"; expected error"#),
        ("log_level = 'info,kube=loud'", "log_level: found"),
        ("log_level = ''", "log_level: found"),
        ("tcp_idle_timeout = 0", "a whole number from 1 to 120"),
        ("tcp_idle_timeout = 1.5", "tcp_idle_timeout: found the number 1.5; expected a whole number without quotes"),
        ("tcp_max_connections = 99999999999999999999", "tcp_max_connections: found the number 99999999999999999999"),
        ("[tcp]\nidle = 1", "found the unknown option tcp"),
        ("ttl = { seconds = 5 }", "ttl: found a table"),
    ] {
        let problems = problems(line);
        assert!(problems.len() == 1 && problems[0].contains(message), "{line}: {problems:?}");
    }
}

#[test]
fn values_that_are_fine_are_taken() {
    let config = from_file(
        "admin = 'off'\nlog_level = 'info,kube=debug'\nlog_format = 'json'\nchaos_id = 'pod 1'\ncontext = 'c'\n\
         kubeconfig = 'k/config'\nhostmaster = 'Dns.Example.com.'\nttl = 0x10\nnameservers = ['10.0.0.10', 'fd00::a']",
    )
    .expect("valid");
    assert_eq!(config.admin, None);
    assert_eq!(config.log_level.to_string(), "info,kube=debug");
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.chaos_id.as_deref(), Some("pod 1"));
    assert_eq!(config.kubeconfig.as_deref(), Some(Path::new("k/config")));
    assert_eq!(config.hostmaster, Name::parse("dns.example.com").ok());
    assert_eq!(config.ttl, 16);
    assert_eq!(config.nameservers.len(), 2);
}

#[test]
fn options_that_contradict_each_other_are_refused_where_somebody_set_them() {
    assert_eq!(
        problems("listen = ['0.0.0.0:8053']"),
        ["FILE:1: listen: with admin: found 127.0.0.1:8053, which listen uses (0.0.0.0:8053); expected an address or \
             port that no other option uses"]
    );
    assert_eq!(
        problems("ttl = 1\ntcp_max_connections = 100\n"),
        ["FILE:2: tcp_max_connections: with tcp_max_connections_per_client: found 256; expected no more than \
          tcp_max_connections (100)"]
    );
}

#[test]
fn what_is_encrypted_has_ports_of_its_own_and_a_certificate() {
    assert_eq!(
        problems("tls_listen = ['127.0.0.1:853']\ntls_cert = 'c'\n"),
        ["FILE:1: tls_listen: with tls_key: found none, but tls_listen needs a PEM file"]
    );
    let files = "tls_cert = 'c'\ntls_key = 'k'\n";
    assert_eq!(
        problems(&format!("{files}https_listen = ['[::]:443']\ntls_listen = ['[::1]:443', '127.0.0.1:443']")),
        ["FILE:3: https_listen: found [::]:443, which tls_listen uses ([::1]:443); expected an address or port that \
          no other option uses"]
    );
    assert_eq!(problems(&format!("{files}quic_listen = ['127.0.0.1:5300']")).len(), 1, "listen has it over UDP");
    assert!(from_file(&format!("{files}quic_listen = ['[::]:853']\ntls_listen = ['[::]:853']")).is_ok());
    assert!(from_file(files).is_ok(), "files that wait for a listener");
    assert_eq!(
        problems("https_path = 'dns query'"),
        [
            r#"FILE:1: https_path: found "dns query"; expected a path of letters, digits, - . _ ~ and /, such as "/dns-query""#
        ]
    );
}

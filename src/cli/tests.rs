//! From command lines to commands and configurations.

use clap::{CommandFactory, Parser};

use super::*;
use crate::config::OPTIONS;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::parse(text).expect("a name")).collect()
}

fn no_variables() -> [(OsString, OsString); 0] {
    []
}

fn serve(line: &str) -> Serve {
    match parse(line).expect("a valid command line").command {
        Command::Serve(serve) => serve,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_contradicts_itself_nowhere() {
    Cli::command().debug_assert();
}

#[test]
fn every_option_has_a_flag_of_serve() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("serve");
    for option in OPTIONS {
        assert!(serve.get_arguments().any(|arg| arg.get_long() == Some(option.flag())), "{}", option.key);
    }
}

#[test]
fn a_list_is_the_flag_repeated() {
    let serve = serve("headless-dns serve --zone a.example --zone b.example --listen [::1]:0 --ttl 7");
    let config = serve.options.load(no_variables()).expect("valid").config;
    assert_eq!(config.zones, names(&["a.example", "b.example"]));
    assert_eq!(config.listen, ["[::1]:0".parse().expect("an address")]);
    assert_eq!(config.ttl, 7);
}

#[test]
fn a_flag_that_is_no_list_is_given_once() {
    assert!(parse("headless-dns serve --ttl 1 --ttl 2").is_err());
}

#[test]
fn a_bad_value_names_the_flag() {
    let error = serve("headless-dns serve --negative-ttl -1 --zone -").options.load(no_variables()).expect_err("bad");
    let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems[0], "--negative-ttl: found -1; expected a whole number from 0 to 3600");
    assert!(problems[1].starts_with("--zone: "), "{}", problems[1]);
}

#[test]
fn export_prints_the_zone_it_is_asked_for_else_the_first_one() {
    let export = |line: &str| match parse(line).expect("a valid command line").command {
        Command::Export(export) => export.load(no_variables()).expect("valid"),
        other => panic!("{other:?}"),
    };
    assert_eq!([export("headless-dns export").1], names(&["cluster.local"])[..]);
    assert_eq!([export("headless-dns export --zone Other.Example.").1], names(&["other.example"])[..]);
    let (effective, zone) = export("headless-dns export --zone 10.in-addr.arpa --from-cluster --context a");
    assert_eq!([zone], names(&["10.in-addr.arpa"])[..]);
    assert_eq!(effective.config.reverse_zones, names(&["10.in-addr.arpa"]));
    assert_eq!(effective.origin("context"), &Origin::Flag("--context".to_owned()));
    assert!(parse("headless-dns export --listen 127.0.0.1:53").is_err());
}

#[cfg(feature = "sandbox")]
#[test]
fn the_sandbox_is_its_own_cluster() {
    let serve = serve("headless-dns serve --sandbox a.yaml b --sandbox c --ttl 3");
    assert_eq!(serve.sandbox.manifests, ["a.yaml", "b", "c"].map(std::path::PathBuf::from));
    assert!(parse("headless-dns serve --sandbox a.yaml --kubeconfig k").is_err());
    assert!(parse("headless-dns serve --sandbox a.yaml --context c").is_err());
    assert!(parse("headless-dns serve --sandbox-kubeconfig k").is_err());
    let error = serve.load([("HEADLESS_DNS_CONTEXT".into(), "staging".into())]).expect_err("two clusters");
    assert!(error.to_string().contains("HEADLESS_DNS_CONTEXT: found a cluster together with --sandbox"), "{error}");
}

#[test]
fn completions_come_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let Command::Completions(completions) =
            parse(&format!("headless-dns completions {shell}")).expect("valid").command
        else {
            panic!("not completions")
        };
        let script = String::from_utf8(completions.script()).expect("text");
        assert!(script.contains("check-config"), "{shell}");
    }
}

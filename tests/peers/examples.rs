//! The examples of `config/` for resolvers: their programs take them, and where none is at hand, what matters is in them.

use crate::peers::deploy::{output_of, repository};

#[test]
fn unbound_takes_its_example() {
    output_of("unbound-checkconf", &["config/unbound.conf"]);
}

#[test]
fn dnsmasq_takes_its_example() {
    output_of("dnsmasq", &["--test", "--conf-file=config/dnsmasq.conf"]);
}

/// A block has only the plugins that it names.
#[test]
fn the_corefiles_change_the_order_of_the_clusters_addresses_and_count_its_queries() {
    for file in ["config/Corefile", "config/Corefile.zone"] {
        let text = std::fs::read_to_string(repository().join(file)).expect("the file");
        let blocks: Vec<&str> = text.split("\n}\n").filter(|block| block.contains(":53 {\n")).collect();
        assert_eq!(blocks.len(), 2, "{file}");
        for (block, line) in blocks.iter().flat_map(|block| [(block, "loadbalance"), (block, "prometheus :9153")]) {
            assert!(block.lines().any(|it| it.trim() == line), "{file}: no {line} in {block}");
        }
    }
}

#[test]
fn the_corefiles_forward_and_keep_no_denial_for_long() {
    for file in ["config/Corefile", "config/Corefile.zone"] {
        let text = std::fs::read_to_string(repository().join(file)).expect("the file");
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{file}");
        for line in ["        denial 9984 1 0\n", "        servfail 0\n", "    forward . 10.96.0.53\n"] {
            assert!(text.contains(line), "{file}: {line}");
        }
    }
}

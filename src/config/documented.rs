//! The documented defaults: the text of `config/headless-dns.toml`.

use super::OPTIONS;

const INTRODUCTION: &str = "\
# Every option of headless-dns with its default. A configuration file needs only the options that differ.
#
# The variable HEADLESS_DNS_<KEY> overrides the file, with commas between the elements of a list. A flag overrides both,
# and is repeated for a list. Durations are whole seconds. What is *reloadable* takes effect on SIGHUP or `headless-dns reload`;
# other options need a restart.
# `headless-dns check-config --config FILE --print` shows the effective configuration.
";

/// The documented default configuration: the text of `config/headless-dns.toml`.
pub fn documented_defaults() -> String {
    let mut text = String::from(INTRODUCTION);
    let mut heading = "";
    for option in OPTIONS {
        if option.heading != heading {
            heading = option.heading;
            text += &format!("\n## {heading}\n");
        }
        text.push('\n');
        for line in option.documentation() {
            text += &format!("# {line}\n");
        }
        if option.is_reloadable() {
            text += "# Reloadable.\n";
        }
        text += &format!("{} = {}\n", option.key, option.default);
    }
    text
}

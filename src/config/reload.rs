//! Which options a running server takes anew when it is told to reload. All others need a restart: they are what it is bound to,
//! or what its memory was laid out for.

use super::Config;

/// Declares the options that are taken anew.
macro_rules! reloadable {
    ($($key:ident),+ $(,)?) => {
        /// The keys of the options that take effect without a restart.
        pub const RELOADABLE: &[&str] = &[ $( stringify!($key) ),+ ];

        impl Config {
            /// This configuration with those options of `newer` that take effect without a restart.
            #[must_use]
            pub fn reloaded(&self, newer: &Config) -> Config {
                Config { $( $key: newer.$key.clone(), )+ ..self.clone() }
            }
        }
    };
}

reloadable! {
    ttl,
    negative_ttl,
    forward,
    forward_clients,
    forward_timeout,
    transfer_clients,
    transfer_keys,
    notify,
    log_queries,
    log_queries_sample,
    log_queries_rate,
    dnstap,
    log_level,
}

#[cfg(test)]
mod tests {
    use super::super::{OPTIONS, Opt};
    use super::*;

    fn config(text: &[(&'static str, &str)]) -> Config {
        let flags: Vec<_> = text.iter().map(|(key, value)| (*key, vec![(*value).to_owned()])).collect();
        Config::load(None, [], &flags).expect("valid").config
    }

    #[test]
    fn every_option_that_is_taken_anew_is_one_and_says_so_in_the_documented_file() {
        for key in RELOADABLE {
            assert!(Opt::find(key).is_some_and(Opt::is_reloadable), "{key}");
        }
        assert!(OPTIONS.iter().any(|option| !option.is_reloadable()));
        let said = super::super::documented_defaults().matches("# Reloadable.\n").count();
        assert_eq!(said, RELOADABLE.len());
    }

    #[test]
    fn what_is_reloaded_differs_from_the_newer_configuration_in_what_needs_a_restart_alone() {
        let running = config(&[]);
        let newer = config(&[("ttl", "9"), ("log_level", "debug"), ("listen", "127.0.0.1:0"), ("udp_workers", "3")]);
        assert_eq!(running.differences(&running), [""; 0]);
        let reloaded = running.reloaded(&newer);
        assert_eq!(running.differences(&reloaded), ["ttl", "log_level"]);
        assert_eq!(reloaded.differences(&newer), ["listen", "udp_workers"]);
    }
}

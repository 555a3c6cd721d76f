//! What a person means by a name: an address, a whole name, or the beginning of one as programs in a Pod write it.
//!
//! ```text
//! 10.1.0.10              10.0.1.10.in-addr.arpa.
//! redis                  redis.default.svc.cluster.local.          if there is one Service of that name
//! redis-0.redis          redis-0.redis.default.svc.cluster.local.
//! redis-0.redis.default  the same
//! redis.default.svc      redis.default.svc.cluster.local.
//! www.example.org        itself
//! ```

use std::net::IpAddr;

use crate::authority::Authority;
use crate::dns::name::{Labels, Name, Relative, strip_suffix};
use crate::dns::reverse;
use crate::records::ServiceKey;
use crate::table::Table;

/// Services of one name that are listed.
const MOST_SERVICES: usize = 20;

/// What is meant.
pub(super) enum Meant {
    Name(Name),
    /// The names of Services in several namespaces, each whole.
    OneOf(Vec<Name>),
}

/// Finds out what is meant by a text.
///
/// # Errors
/// It is neither an address nor a name; the message says why.
pub(super) fn meant(authority: &Authority, table: &Table<'_>, text: &str) -> Result<Meant, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let reverse = Relative(&reverse::name_of(address)).to_string();
        return Name::parse(&reverse).map(Meant::Name).map_err(|error| format!("name: {error}"));
    }
    let name = Name::parse(text).map_err(|error| format!("name: {error}"))?;
    let is_ours = authority.all_zones().any(|zone| strip_suffix(name.as_wire(), zone.apex().as_wire()).is_some());
    if is_ours || text.ends_with('.') {
        return Ok(Meant::Name(name));
    }
    let endings = endings(authority, table, &name);
    let whole = |ending: &String| Name::parse(&format!("{text}.{ending}")).ok();
    let mut names: Vec<Name> = endings.iter().filter_map(whole).collect();
    Ok(match names.len() {
        0 => Meant::Name(name),
        1 => Meant::Name(names.swap_remove(0)),
        _ => Meant::OneOf(names),
    })
}

/// What a name may go on with: nothing, if it is the beginning of none that is known here.
fn endings(authority: &Authority, table: &Table<'_>, name: &Name) -> Vec<String> {
    let Some(zone) = authority.zones().first() else { return Vec::new() };
    let ([svc, _], zone) = (zone.suffix().0, zone.apex());
    let labels: Vec<&[u8]> = Labels(name.as_wire()).collect();
    let Some((last, before)) = labels.split_last() else { return Vec::new() };
    if *last == svc {
        return vec![zone.to_string()];
    }
    let is_namespace = table.has_namespace(last);
    let is_service = |service: &&[u8]| table.service(&[service, *last].concat()).is_some();
    if is_namespace && before.last().is_some_and(is_service) {
        return vec![format!("svc.{zone}")];
    }
    let of_name = table.first_services(MOST_SERVICES, |key| key.name() == *last);
    if of_name.is_empty() && is_namespace {
        return vec![format!("svc.{zone}")];
    }
    of_name.iter().map(ServiceKey::namespace_text).map(|namespace| format!("{namespace}.svc.{zone}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Options;
    use crate::dns::name::Label;
    use crate::records::{ServiceKind, ServiceRecords};
    use crate::table::table;

    /// What is meant in a cluster with `default/redis`, `db/pg`, `a/twice` and `b/twice`.
    fn understood(text: &str) -> Vec<String> {
        let authority = Authority::new(Options::of_tests()).expect("names that fit");
        let (mut writer, reader) = table();
        let label = |text: &str| Label::parse(text).expect("a label");
        let services = [("default", "redis"), ("db", "pg"), ("a", "twice"), ("b", "twice")];
        writer.publish(services.map(|(namespace, name)| {
            let records = ServiceRecords::empty(ServiceKind::Headless);
            (ServiceKey::new(&label(namespace), &label(name)), Some(records))
        }));
        match meant(&authority, &reader.pin(), text).expect("a name") {
            Meant::Name(name) => vec![name.to_string()],
            Meant::OneOf(names) => names.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_beginning_of_a_name_is_understood_as_in_a_pod() {
        let zone = "svc.cluster.local.";
        for (text, name) in [
            ("redis", format!("redis.default.{zone}")),
            ("Redis", format!("redis.default.{zone}")),
            ("redis-0.redis", format!("redis-0.redis.default.{zone}")),
            ("redis-0.redis.default", format!("redis-0.redis.default.{zone}")),
            ("redis.default", format!("redis.default.{zone}")),
            ("redis.default.svc", format!("redis.default.{zone}")),
            ("_sql._tcp.pg", format!("_sql._tcp.pg.db.{zone}")),
            ("lost-0.gone.db", format!("lost-0.gone.db.{zone}")),
            ("db", format!("db.{zone}")),
            ("pg.db.svc.cluster.local", format!("pg.db.{zone}")),
            ("10.1.0.10", "10.0.1.10.in-addr.arpa.".to_owned()),
            ("10.0.1.10.in-addr.arpa", "10.0.1.10.in-addr.arpa.".to_owned()),
            ("www.example.org", "www.example.org.".to_owned()),
            ("redis.", "redis.".to_owned()),
            ("nothing", "nothing.".to_owned()),
        ] {
            assert_eq!(understood(text), [name], "{text}");
        }
        assert!(understood("fd00::a")[0].ends_with(".0.0.d.f.ip6.arpa."));
        assert_eq!(understood("twice"), ["a", "b"].map(|namespace| format!("twice.{namespace}.{zone}")));
    }
}

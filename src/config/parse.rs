//! What each option's value may be. A parser takes a value as it was written and returns the typed one, or for each
//! mistake in it what was found and what is allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::log::{LogFilter, LogFormat};
use super::source::{Value, quoted};
use crate::cluster::PodSelection;
use crate::dns::name::{Label, MAX_LABEL, MAX_NAME, Name, strip_suffix};
use crate::dns::reverse::ReverseName;
use crate::resolver::ForwardTo;
use crate::tap::{Collector, QueryFilter};
use crate::transfer::{MOST_REPLICAS, NotifyTo};

/// Bounds of a TTL, in seconds. The specification of DNS for Kubernetes sets none; beyond an hour a stale address
/// outlives any rollout.
pub const TTL: RangeInclusive<i64> = 0..=3600;
/// Bounds of a UDP answer, in bytes: RFC 1035 guarantees the lower one, RFC 6891 section 6.2.5 recommends the upper
/// one.
pub const EDNS_UDP_SIZE: RangeInclusive<i64> = 512..=4096;
/// Bounds of the number of TCP connections; the upper one is the number of ports one client address has.
pub const TCP_CONNECTIONS: RangeInclusive<i64> = 1..=65536;
/// Bounds of the time a TCP connection may be idle, in seconds.
pub const TCP_IDLE_TIMEOUT: RangeInclusive<i64> = 1..=120;
/// Bounds of the number of UDP workers; 0 is one a core.
pub const UDP_WORKERS: RangeInclusive<i64> = 0..=256;
/// Bounds of the memory of the process, in MiB; 0 is no limit, and the upper one is a tebibyte.
pub const MEMORY_LIMIT: RangeInclusive<i64> = 0..=1_048_576;
/// Bounds of the time that the server goes on answering after it was told to stop, in seconds.
pub const DRAIN_TIMEOUT: RangeInclusive<i64> = 0..=300;
/// Bounds of the time without word from the API server after which answers are stale, in seconds. Below the lower one
/// the watches would reconnect all the time.
pub const STALE_AFTER: RangeInclusive<i64> = 5..=600;
/// Bounds of the time between two reconciliations of a watch, in seconds; 0 is never.
pub const RECONCILE_EVERY: RangeInclusive<i64> = 0..=86_400;
/// Bounds of the time that a forwarded question may take, in seconds.
pub const FORWARD_TIMEOUT: RangeInclusive<i64> = 1..=30;
/// Bounds of the memory for forwarded answers, in megabytes.
pub const CACHE_SIZE: RangeInclusive<i64> = 0..=65_536;
/// Bounds of the number of a replica.
pub const REPLICA: RangeInclusive<i64> = 0..=MOST_REPLICAS as i64 - 1;
/// Bounds of the time for which stale answers are served, in seconds: RFC 8767 section 5 suggests one to three days.
pub const SERVE_STALE: RangeInclusive<i64> = 0..=259_200;

/// Bounds of how many queries one logged query stands for, and of the lines of the query log in a second.
pub const LOG_SAMPLE: RangeInclusive<i64> = 1..=1_000_000;
pub const LOG_RATE: RangeInclusive<i64> = 1..=100_000;

/// Characters in the text of a name: [`MAX_NAME`] octets on the wire, less the first length octet and the root label.
const MAX_NAME_TEXT: usize = MAX_NAME - 2;
/// RFC 1035 section 3.3: a character-string has a length octet.
const MAX_CHARACTER_STRING: usize = 255;

const IPV4_REVERSE: &str = "in-addr.arpa";
const IPV6_REVERSE: &str = "ip6.arpa";

/// The value, or one message for each mistake.
pub type Parsed<T> = Result<T, Vec<String>>;

/// A whole number within `bounds`.
pub fn integer<T: TryFrom<i64>>(value: &Value, bounds: RangeInclusive<i64>) -> Parsed<T> {
    let allowed = || found(value, format_args!("a whole number from {} to {}", bounds.start(), bounds.end()));
    match value {
        Value::Integer(number) if bounds.contains(number) => T::try_from(*number).map_err(|_| allowed()),
        _ => Err(allowed()),
    }
}

/// True or false.
pub fn boolean(value: &Value) -> Parsed<bool> {
    match value {
        Value::Boolean(boolean) => Ok(*boolean),
        _ => Err(found(value, "true or false")),
    }
}

/// A number of seconds within `bounds`.
pub fn seconds(value: &Value, bounds: RangeInclusive<i64>) -> Parsed<Duration> {
    integer(value, bounds).map(Duration::from_secs)
}

/// Text; the empty text is `None`.
pub fn text(value: &Value) -> Parsed<Option<String>> {
    match value {
        Value::Text(text) => Ok((!text.is_empty()).then(|| text.clone())),
        _ => Err(found(value, "text")),
    }
}

/// A path; the empty text is `None`.
pub fn path(value: &Value) -> Parsed<Option<PathBuf>> {
    Ok(text(value)?.map(PathBuf::from))
}

/// Paths, each once.
pub fn paths(value: &Value) -> Parsed<Vec<PathBuf>> {
    let texts = distinct(each(value, |text| {
        if text.is_empty() { Err("the path of a file".to_owned()) } else { Ok(text.to_owned()) }
    })?)?;
    Ok(texts.into_iter().map(PathBuf::from).collect())
}

/// Secondaries that are told of new versions.
pub fn notify(value: &Value) -> Parsed<Vec<NotifyTo>> {
    let allowed = "an address such as \"10.0.0.2\" or \"10.0.0.2:53\", with \"#KEY\" behind it to sign with that key";
    distinct(each(value, |text| NotifyTo::parse(text).ok_or_else(|| allowed.to_owned()))?)
}

/// Filters of the query log.
pub fn query_filters(value: &Value) -> Parsed<Vec<QueryFilter>> {
    let allowed = "all, name=NAME, client=NETWORK or rcode=RCODE, such as \"rcode=SERVFAIL\"";
    distinct(each(value, |text| QueryFilter::parse(text).ok_or_else(|| allowed.to_owned()))?)
}

/// The collector of dnstap.
pub fn collector(value: &Value) -> Parsed<Option<Collector>> {
    let Some(collector) = text(value)? else { return Ok(None) };
    let allowed = || found(value, "unix:PATH or tcp:ADDRESS:PORT, such as \"unix:/run/dnstap.sock\"");
    Collector::parse(&collector).map(Some).ok_or_else(allowed)
}

/// The path of a URL.
pub fn url_path(value: &Value) -> Parsed<String> {
    let plain = |text: &String| {
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
    };
    match text(value)? {
        Some(path) if plain(&path) => Ok(path),
        _ => Err(found(value, "a path of letters, digits, - . _ ~ and /, such as \"/dns-query\"")),
    }
}

/// The origin of the public view, or none.
pub fn public_origin(value: &Value) -> Parsed<Option<Name>> {
    let Some(name) = text(value)? else { return Ok(None) };
    forward_zone(&name).map(Some).map_err(|allowed| found(value, allowed))
}

/// Names of hosts, each once.
pub fn hosts(value: &Value) -> Parsed<Vec<Name>> {
    distinct(each(value, domain_name)?)
}

/// At least one forward zone, none of them below another.
pub fn zones(value: &Value) -> Parsed<Vec<Name>> {
    let zones = each(value, forward_zone)?;
    if zones.is_empty() { Err(found(value, "one zone or more")) } else { separate(zones) }
}

/// Reverse zones, by name or by network, none of them below another.
pub fn reverse_zones(value: &Value) -> Parsed<Vec<Name>> {
    separate(each(value, |text| if text.contains('/') { network(text) } else { reverse_name(text) })?)
}

/// Addresses with ports to listen on.
pub fn listen(value: &Value) -> Parsed<Vec<SocketAddr>> {
    let addresses = listen_if_any(value)?;
    if addresses.is_empty() { Err(found(value, "one ADDRESS:PORT or more")) } else { Ok(addresses) }
}

/// The same, or none.
pub fn listen_if_any(value: &Value) -> Parsed<Vec<SocketAddr>> {
    let addresses = each(value, |text| socket_address(text, DNS_EXAMPLE))?;
    let clashes = addresses.iter().enumerate().filter_map(|(index, address)| {
        let other = addresses.iter().take(index).find(|other| overlap(address, other))?;
        Some(format!("found {address} and {other}, of which one covers the other; allowed are addresses that differ"))
    });
    none_or(clashes.collect(), &addresses)
}

/// Names of namespaces, each once.
pub fn namespaces(value: &Value) -> Parsed<Vec<Label>> {
    let allowed = format!(
        "the name of a namespace: lower-case letters, digits and hyphens, at most {MAX_LABEL}, no hyphen at either end"
    );
    distinct(each(value, |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if plain && is_label(text) { Label::parse(text).map_err(|_| allowed.clone()) } else { Err(allowed.clone()) }
    })?)
}

/// Addresses of name servers: no wildcard, no multicast address.
pub fn nameservers(value: &Value) -> Parsed<Vec<IpAddr>> {
    distinct(each(value, |text| match text.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(address),
        _ => Err("an IP address of this server, no wildcard and no multicast address".to_owned()),
    })?)
}

/// The RNAME of the SOA record.
pub fn hostmaster(value: &Value) -> Parsed<Option<Name>> {
    let Some(name) = text(value)? else { return Ok(None) };
    if name.contains('@') {
        let allowed = format!("the mailbox with a dot in place of the @: {}", quoted(&name.replace('@', ".")));
        return Err(found(value, allowed));
    }
    domain_name(&name).map(Some).map_err(|allowed| found(value, allowed))
}

/// One character-string of printable ASCII.
pub fn chaos_text(value: &Value) -> Parsed<Option<String>> {
    let printable = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match text(value)? {
        Some(text) if text.len() > MAX_CHARACTER_STRING || !printable(&text) => {
            Err(found(value, format_args!("at most {MAX_CHARACTER_STRING} printable ASCII characters")))
        }
        text => Ok(text),
    }
}

/// An address with a port, or none.
pub fn address_or_off(value: &Value) -> Parsed<Option<SocketAddr>> {
    match text(value)?.as_deref() {
        Some("off") => Ok(None),
        text => {
            let address = socket_address(text.unwrap_or_default(), PAGES_EXAMPLE);
            address.map(Some).map_err(|allowed| found(value, format_args!("{allowed}, or \"off\"")))
        }
    }
}

/// Servers and files of servers.
pub fn forward(value: &Value) -> Parsed<Vec<ForwardTo>> {
    let allowed = "an address such as \"10.96.0.10\" or \"10.96.0.10:53\", \"tcp://ADDRESS\", \"tls://ADDRESS#NAME\", or the \
                   absolute path of a file such as \"/etc/resolv.conf\"";
    distinct(each(value, |text| ForwardTo::parse(text).ok_or_else(|| allowed.to_owned()))?)
}

/// Networks, or single addresses.
pub fn networks(value: &Value) -> Parsed<Vec<IpNet>> {
    distinct(each(value, |text| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        match text.parse::<IpNet>().or_else(|_| address()) {
            Ok(network) if network.trunc() != network => {
                Err(format!("the network's own address: \"{}\"", network.trunc()))
            }
            Ok(network) => Ok(network),
            Err(_) => Err("a network such as \"10.0.0.0/8\" or \"fd00::/8\", or an address".to_owned()),
        }
    })?)
}

/// Which Pods are mirrored.
pub fn pods(value: &Value) -> Parsed<PodSelection> {
    match text(value)?.as_deref() {
        Some("statefulsets") => Ok(PodSelection::StatefulSets),
        Some("all") => Ok(PodSelection::All),
        Some("off") => Ok(PodSelection::Off),
        _ => Err(found(value, "\"statefulsets\", \"all\" or \"off\"")),
    }
}

/// Which lines are logged.
pub fn log_level(value: &Value) -> Parsed<LogFilter> {
    text(value)?.unwrap_or_default().parse().map_err(|allowed: String| found(value, allowed))
}

/// The format of the log.
pub fn log_format(value: &Value) -> Parsed<LogFormat> {
    match text(value)?.as_deref() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err(found(value, "\"text\" or \"json\"")),
    }
}

/// Whether the two addresses cannot both be bound: the port is the same, and one address is or covers the other. A wildcard
/// covers its own family.
pub fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let wildcard = one.ip().is_unspecified() || other.ip().is_unspecified();
    // Port 0 is a different free port each time.
    one.port() == other.port() && one.port() != 0 && (one == other || (wildcard && one.is_ipv4() == other.is_ipv4()))
}

/// A domain name that can be a zone or a host: no hyphen at either end of a label, not the root.
fn domain_name(text: &str) -> Result<Name, String> {
    let plain = text.strip_suffix('.').unwrap_or(text).split('.').all(is_label);
    Name::parse(text).ok().filter(|_| plain).ok_or_else(|| {
        format!(
            "a domain name of at most {MAX_NAME_TEXT} characters: \
             labels of 1 to {MAX_LABEL} letters, digits, - (not at an end) or _"
        )
    })
}

fn forward_zone(text: &str) -> Result<Name, String> {
    let name = domain_name(text)?;
    let trees = [IPV4_REVERSE, IPV6_REVERSE].map(domain_name);
    if trees.iter().flatten().any(|tree| is_at_or_below(&name, tree)) {
        return Err("a forward zone; this one belongs in reverse_zones".to_owned());
    }
    Ok(name)
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn reverse_name(text: &str) -> Result<Name, String> {
    let allowed =
        || format!("a zone at or below {IPV4_REVERSE} or {IPV6_REVERSE}, or a network such as \"10.0.0.0/8\"");
    domain_name(text)
        .and_then(|name| if ReverseName::parse(name.as_wire()).is_some() { Ok(name) } else { Err(allowed()) })
}

/// The reverse zone of a network that ends where a label ends.
fn network(text: &str) -> Result<Name, String> {
    let allowed = || "a network: ADDRESS/BITS, such as \"10.0.0.0/8\" or \"fd00::/8\"".to_owned();
    let (address, bits) = text.split_once('/').ok_or_else(allowed)?;
    let address: IpAddr = address.parse().map_err(|_| allowed())?;
    let bits: usize = bits.parse().map_err(|_| allowed())?;
    let (labels, label_bits, origin, network) = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::BITS.saturating_sub(bits as u32)).unwrap_or(0);
            let network = IpAddr::from(Ipv4Addr::from(u32::from(address) & mask));
            (address.octets().map(|octet| octet.to_string()).to_vec(), 8, IPV4_REVERSE, network)
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u128::BITS.saturating_sub(bits as u32)).unwrap_or(0);
            let network = IpAddr::from(Ipv6Addr::from(u128::from(address) & mask));
            let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
            (nibbles.map(|nibble| format!("{nibble:x}")).collect(), 4, IPV6_REVERSE, network)
        }
    };
    if bits > labels.len() * label_bits {
        return Err(format!("a prefix of at most {} bits", labels.len() * label_bits));
    }
    if network != address {
        return Err(format!("the network's own address: \"{network}/{bits}\""));
    }
    if !bits.is_multiple_of(label_bits) {
        return Err(format!("a prefix that is a multiple of {label_bits}; give the smaller networks one by one"));
    }
    let significant = labels.iter().take(bits / label_bits).rev().map(String::as_str);
    domain_name(&significant.chain([origin]).collect::<Vec<_>>().join("."))
}

/// Ports that examples have: the defaults of `listen` and `admin`.
const DNS_EXAMPLE: u16 = 5300;
const PAGES_EXAMPLE: u16 = 8053;

fn socket_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("ADDRESS:PORT, such as \"127.0.0.1:{port}\" or \"[::1]:{port}\""))
}

pub fn is_at_or_below(name: &Name, zone: &Name) -> bool {
    strip_suffix(name.as_wire(), zone.as_wire()).is_some()
}

/// `names`, unless one is at or below another.
fn separate(names: Vec<Name>) -> Parsed<Vec<Name>> {
    let shown = |name: &Name| quoted(name.to_string().trim_end_matches('.'));
    let nested = names.iter().enumerate().filter_map(|(index, name)| {
        let mut others = names.iter().enumerate();
        let (_, other) = others
            .find(|(at, other)| *at != index && is_at_or_below(name, other) && (name != *other || *at < index))?;
        let how = if name == other { "twice".to_owned() } else { format!("below {}", shown(other)) };
        Some(format!("found {} {how}, allowed are zones of which none contains another", shown(name)))
    });
    none_or(nested.collect(), &names)
}

/// `elements`, unless one is given twice.
fn distinct<T: Clone + PartialEq + fmt::Display>(elements: Vec<T>) -> Parsed<Vec<T>> {
    let twice =
        elements.iter().enumerate().filter(|(index, element)| elements.iter().take(*index).any(|e| e == *element));
    none_or(twice.map(|(_, element)| format!("found {element} twice; list each once")).collect(), &elements)
}

/// Parses every element of a list. An error of `parse` is what is allowed.
fn each<T>(value: &Value, parse: impl Fn(&str) -> Result<T, String>) -> Parsed<Vec<T>> {
    let Value::List(elements) = value else { return Err(found(value, "a list")) };
    let mut parsed = Vec::with_capacity(elements.len());
    let mut problems = Vec::new();
    for element in elements {
        match parse(element) {
            Ok(element) => parsed.push(element),
            Err(allowed) => problems.push(format!("found {}; expected {allowed}", quoted(element))),
        }
    }
    if problems.is_empty() { Ok(parsed) } else { Err(problems) }
}

fn none_or<T: Clone>(problems: Vec<String>, value: &T) -> Parsed<T> {
    if problems.is_empty() { Ok(value.clone()) } else { Err(problems) }
}

fn found(value: &Value, allowed: impl fmt::Display) -> Vec<String> {
    vec![format!("found {value}; expected {allowed}")]
}

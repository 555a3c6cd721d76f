//! Reads settings from the file, the environment and the flags as (key, value, origin). Values are interpreted in
//! `parse.rs`.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{OPTIONS, Opt};

/// Prefix of the environment variables.
pub const ENV_PREFIX: &str = "HEADLESS_DNS_";

/// The variable that names the configuration file if `--config` is not given.
const FILE_VARIABLE: &str = "HEADLESS_DNS_CONFIG";

/// Maximum number of syntax errors to report; a file that is not TOML at all has one in every line.
const MAX_SYNTAX_PROBLEMS: usize = 5;

/// Letters of an option's name for each mistake in it, in a name that is taken for a misspelt one.
const LETTERS_PER_MISTAKE: usize = 3;
/// Letters of a name that is taken for the beginning of another.
const SHORTEST_BEGINNING: usize = 4;

/// Where a value came from, ordered from weak to strong, and within the file by line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// No source gave one.
    Default,
    /// The file, and the line if it is known.
    File(Arc<Path>, Option<usize>),
    /// The environment variable of this name.
    Variable(String),
    /// The flag of this name, dashes included.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Origin::File(path, None) => write!(f, "{}", path.display()),
            Origin::Variable(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// One mistake: its origin, what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The source of the value.
    pub origin: Origin,
    /// The option, if there is one.
    pub key: Option<String>,
    /// What was found, and what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem with the value that `origin` gave for `key`.
    pub fn new(origin: Origin, key: impl Into<Option<String>>, message: impl Into<String>) -> Self {
        Self { origin, key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        match (&self.origin, &self.key) {
            // The name of a variable or a flag already contains the key.
            (Origin::Variable(_) | Origin::Flag(_), _) | (_, None) => {}
            (_, Some(key)) => write!(f, "{key}: ")?,
        }
        f.write_str(&self.message)
    }
}

/// A value as it was written, not interpreted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
}

/// The variants of [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Boolean,
    List,
}

impl Kind {
    /// The kind of a TOML literal.
    pub fn of_literal(literal: &str) -> Kind {
        match literal.as_bytes().first() {
            Some(b'[') => Kind::List,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Boolean,
            _ => Kind::Integer,
        }
    }
}

impl Value {
    /// Reads the text of a variable or a flag.
    fn from_text(kind: Kind, text: &str) -> Result<Value, String> {
        match kind {
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::List if text.trim().is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(text.split(',').map(|element| element.trim().to_owned()).collect())),
            Kind::Integer => match text.trim().parse() {
                Ok(number) => Ok(Value::Integer(number)),
                Err(_) => Err(format!("found {}; expected a whole number", quoted(text))),
            },
            Kind::Boolean => match text.trim().parse() {
                Ok(boolean) => Ok(Value::Boolean(boolean)),
                Err(_) => Err(format!("found {}; expected true or false", quoted(text))),
            },
        }
    }

    /// Reads a value of a TOML document, which must be of this kind.
    fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Value, String> {
        let (read, allowed) = match kind {
            Kind::Text => (value.as_str().map(|text| Value::Text(text.to_owned())), "a string in quotes"),
            Kind::Integer => (integer(value).map(Value::Integer), "a whole number without quotes"),
            Kind::Boolean => (value.as_bool().map(Value::Boolean), "true or false without quotes"),
            Kind::List => (strings(value).map(Value::List), "a list of strings in brackets"),
        };
        read.ok_or_else(|| format!("found {}; expected {allowed}", describe(value)))
    }
}

impl fmt::Display for Value {
    /// As in a TOML file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Boolean(boolean) => write!(f, "{boolean}"),
            Value::List(elements) => {
                write!(f, "[{}]", elements.iter().map(|element| quoted(element)).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Every setting from every source, weakest source first.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<Setting>);

#[derive(Clone, Debug)]
struct Setting {
    key: &'static str,
    value: Value,
    origin: Origin,
}

impl Setting {
    /// What somebody may not know whose value is wrong.
    fn hint(&self) -> String {
        let Origin::Flag(flag) = &self.origin else { return String::new() };
        let has_comma = matches!(&self.value, Value::List(texts) if texts.iter().any(|text| text.contains(',')));
        if has_comma { format!("; {flag} is repeated for each") } else { String::new() }
    }
}

impl Settings {
    /// Starts with the default of every option.
    pub fn defaults(problems: &mut Vec<Problem>) -> Self {
        let mut settings = Settings::default();
        for option in OPTIONS {
            let value = match DeValue::parse(option.default) {
                Ok(literal) => Value::from_toml(option.kind(), literal.get_ref()),
                Err(error) => Err(error.message().to_owned()),
            };
            settings.add(option, value, Origin::Default, problems);
        }
        settings
    }

    /// Adds the settings of the TOML file at `path`. A file with several mistakes yields several problems.
    pub fn add_file(&mut self, path: &Path, problems: &mut Vec<Problem>) {
        let path: Arc<Path> = path.into();
        let text = match crate::files::read_text(&path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem::new(
                    Origin::File(path, None),
                    None,
                    format!("the file cannot be read: {error}"),
                ));
                return;
            }
        };
        let at = |offset: usize| Origin::File(path.clone(), Some(line_of(&text, offset)));
        let (document, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            // What the parser recovers from a broken file may differ from what was meant.
            problems.extend(errors.iter().take(MAX_SYNTAX_PROBLEMS).map(|error| {
                let offset = error.span().map_or(0, |span| span.start);
                Problem::new(at(offset), None, format!("not valid TOML: {}", error.message()))
            }));
            return;
        }
        let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = document.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let origin = at(key.span().start);
            match Opt::find(key.get_ref()) {
                Some(option) => self.add(option, Value::from_toml(option.kind(), value.get_ref()), origin, problems),
                None => problems.push(unknown(origin, key.get_ref(), |option| option.key.to_owned())),
            }
        }
    }

    /// Adds what [`variables`] found.
    pub fn add_variables(&mut self, variables: Vec<(&'static Opt, String)>, problems: &mut Vec<Problem>) {
        for (option, text) in variables {
            let value = Value::from_text(option.kind(), &text);
            self.add(option, value, Origin::Variable(option.variable()), problems);
        }
    }

    /// Adds the flags: for each key the texts that were given, several only for a list.
    pub fn add_flags(&mut self, flags: &[(&'static str, Vec<String>)], problems: &mut Vec<Problem>) {
        for (key, texts) in flags {
            let Some(option) = Opt::find(key) else { continue };
            let value = match option.kind() {
                Kind::List => Ok(Value::List(texts.clone())),
                kind => Value::from_text(kind, texts.last().map_or("", String::as_str)),
            };
            self.add(option, value, Origin::Flag(format!("--{}", option.flag())), problems);
        }
    }

    fn add(&mut self, option: &Opt, value: Result<Value, String>, origin: Origin, problems: &mut Vec<Problem>) {
        match value {
            Ok(value) => self.0.push(Setting { key: option.key, value, origin }),
            Err(message) => problems.push(Problem::new(origin, option.key.to_owned(), message)),
        }
    }

    /// Returns the value of `key` from the strongest source. The weaker ones are parsed too, so that a mistake in a file
    /// shows even while a flag overrides it.
    pub fn read<T>(
        &self,
        key: &str,
        parse: impl Fn(&Value) -> Result<T, Vec<String>>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let mut strongest = None;
        for setting in self.0.iter().filter(|setting| setting.key == key) {
            strongest = match parse(&setting.value) {
                Ok(value) => Some(value),
                Err(messages) => {
                    let hint = setting.hint();
                    let problem =
                        |message: String| Problem::new(setting.origin.clone(), key.to_owned(), message + &hint);
                    problems.extend(messages.into_iter().map(problem));
                    None
                }
            };
        }
        strongest
    }

    /// Returns the value of `key` from the strongest source, and that source.
    pub fn strongest(&self, key: &str) -> Option<(&Value, &Origin)> {
        self.0.iter().rfind(|setting| setting.key == key).map(|setting| (&setting.value, &setting.origin))
    }

    /// Returns the strongest source of `key`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.strongest(key).map_or(&Origin::Default, |(_, origin)| origin)
    }
}

/// Picks this program's variables: the configuration file they name, and the options they set.
pub fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) -> (Option<PathBuf>, Vec<(&'static Opt, String)>) {
    let mut file = None;
    let mut found = Vec::new();
    for (name, text) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { continue };
        if name == FILE_VARIABLE {
            file = Some(PathBuf::from(text));
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        match (OPTIONS.iter().find(|option| option.variable() == name), text.into_string()) {
            (Some(option), Ok(text)) => found.push((option, text)),
            (Some(option), Err(text)) => {
                let message = format!("found {text:?}; expected UTF-8 text");
                problems.push(Problem::new(origin, option.key.to_owned(), message));
            }
            (None, _) if is_service_link(name) => {}
            (None, _) => problems.push(unknown(origin, name, Opt::variable)),
        }
    }
    (file, found)
}

/// Whether the variable is a service link. For a Service whose name begins with `headless-dns`, the kubelet sets such
/// variables in every Pod of the namespace (`HEADLESS_DNS_SERVICE_HOST`, `HEADLESS_DNS_PORT_53_UDP_ADDR`).
pub fn is_service_link(name: &str) -> bool {
    ["_SERVICE_HOST", "_PORT"].iter().any(|end| name.ends_with(end))
        || ["_SERVICE_PORT", "_PORT_"].iter().any(|middle| name.contains(middle))
}

/// A name that no option has: the one that is probably meant, or all there are.
fn unknown(origin: Origin, found: &str, name: impl Fn(&Opt) -> String) -> Problem {
    let told = match nearest(found) {
        Some(meant) => format!("did you mean {}?", name(meant)),
        None => format!("allowed are {}", OPTIONS.iter().map(name).collect::<Vec<_>>().join(", ")),
    };
    Problem::new(origin, None, format!("found the unknown option {found}; {told}"))
}

/// The option whose key differs the least, if it is near: a letter too many, too few, another, or two in the wrong order, for each
/// [`LETTERS_PER_MISTAKE`] that it has; or the only one that begins so.
fn nearest(found: &str) -> Option<&'static Opt> {
    // As flags and variables have it.
    let found = found.strip_prefix(ENV_PREFIX).unwrap_or(found).replace('-', "_").to_ascii_lowercase();
    let mistakes = |option: &Opt| strsim::damerau_levenshtein(&found, option.key);
    let near = OPTIONS.iter().map(|option| (mistakes(option), option)).min_by_key(|(mistakes, _)| *mistakes);
    if let Some((_, option)) = near.filter(|(mistakes, option)| mistakes * LETTERS_PER_MISTAKE <= option.key.len()) {
        return Some(option);
    }
    let mut begun = OPTIONS.iter().filter(|option| option.key.starts_with(&found));
    begun.next().filter(|_| found.len() >= SHORTEST_BEGINNING && begun.next().is_none())
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let digits = value.as_integer()?;
    i64::from_str_radix(digits.as_str(), digits.radix()).ok()
}

fn strings(value: &DeValue<'_>) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|element| element.get_ref().as_str().map(str::to_owned)).collect()
}

/// Describes a value of the wrong kind in a message.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(truth) => format!("{truth}"),
        DeValue::Array(_) => "a list with an element that is not a string".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
    }
}

/// `text` as a TOML string.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_option_has_is_answered_with_the_one_that_is_meant_or_with_all() {
        for (found, meant) in [
            ("tll", Some("ttl")),
            ("listn", Some("listen")),
            ("negative-ttl", Some("negative_ttl")),
            ("negativettl", Some("negative_ttl")),
            ("namespace", Some("namespaces")),
            ("edns_udp_sise", Some("edns_udp_size")),
            ("log_lvel", Some("log_level")),
            ("hostm", Some("hostmaster")),
            ("HEADLESS_DNS_TLL", Some("ttl")),
            ("HEADLESS_DNS_FOO", None),
            ("x", None),
            ("port", None),
            ("forw", None),
            ("cluster_domain", None),
        ] {
            assert_eq!(nearest(found).map(|option| option.key), meant, "{found}");
        }
    }
}

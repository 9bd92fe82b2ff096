//! A connection URL, read so strictly that nothing of it is guessed, dropped or shown.
//!
//! sqlx takes any scheme for its own, passes over parameters that it does not know (and logs their values), and takes the rest of a
//! password that is not percent-encoded for a host. So it is given a URL that is made here, of what was understood.

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{Credentials, Wanted};

/// What is wrong with a URL, without any of its content but the name of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    #[error("is not a PostgreSQL connection URL; it looks like postgres://user:password@host:5432/database")]
    Scheme,
    #[error(
        "has a '@', '/', '?' or '#' where none can be: percent-encode the password, and whatever else holds one (%40, %2F, %3F, %23)"
    )]
    Reserved,
    #[error("percent-encodes something that is not UTF-8")]
    NotUtf8,
    #[error(
        "has no host that can be understood: expected a name, an address, or a socket's directory with each '/' as %2F"
    )]
    Host,
    #[error("has no port that can be understood: expected a number from 1 to 65535 between the host and the database")]
    Port,
    #[error("has a parameter '{name}', which pg_import does not know")]
    Parameter { name: String },
    #[error("has a parameter that pg_import does not know")]
    NamelessParameter,
    #[error("has a parameter '{name}' whose value cannot be used: expected {expected}")]
    Value { name: String, expected: &'static str },
}

/// What a URL says.
pub(super) struct Parts(Vec<(String, String)>);

impl Parts {
    /// Reads a URL.
    pub fn read(url: &str) -> Result<Self, UrlFault> {
        Ok(Self(parts(url.trim())?))
    }

    /// Whether the URL has its own say about a setting.
    pub fn say(&self, setting: &str) -> bool {
        self.0
            .iter()
            .any(|(name, _)| name.replace("ssl-mode", "sslmode") == setting)
    }

    /// The hosts, with commas between them.
    pub fn hosts(&self) -> Option<&str> {
        self.last(&["host", "hostaddr"])
    }

    /// Their ports.
    pub fn ports(&self) -> Option<&str> {
        self.last(&["port"])
    }

    /// What a host must be.
    pub fn wanted(&self) -> Option<Wanted> {
        self.last(&[WANTED]).and_then(Wanted::parse)
    }

    fn last(&self, settings: &[&str]) -> Option<&str> {
        let said = self.0.iter().rfind(|(name, _)| settings.contains(&name.as_str()));
        said.map(|(_, value)| value.as_str())
    }

    /// The same of one host.
    pub fn at(&self, host: &str, port: u16) -> Self {
        let said = self
            .0
            .iter()
            .filter(|(name, _)| !["host", "hostaddr", "port"].contains(&name.as_str()));
        let place = [("host", host.to_owned()), ("port", port.to_string())];
        let place = place.map(|(name, value)| (name.to_owned(), value));
        Self(said.cloned().chain(place).collect())
    }

    /// What the URL leaves out comes from the environment, as sqlx has it.
    pub fn connect_options(&self) -> Result<PgConnectOptions, UrlFault> {
        let mut made = "postgres:///?".to_owned();
        for (name, value) in self.0.iter().filter(|(name, _)| name != WANTED) {
            made.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
            made.push('=');
            made.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
            made.push('&');
        }
        made.parse().map_err(|_| UrlFault::Scheme)
    }
}

const WANTED: &str = "target_session_attrs";

/// How to connect with these, but with the password that the file of `psql` has for them (`PGPASSFILE`, else `~/.pgpass`), if it has one.
pub(super) fn with_password_file(credentials: &Credentials) -> PgConnectOptions {
    let said = [
        ("host", credentials.host.clone()),
        ("port", credentials.port.to_string()),
        ("user", credentials.user.clone()),
        ("dbname", credentials.database.clone()),
    ];
    // sqlx reads that file for a URL alone.
    let parts = Parts(said.map(|(name, value)| (name.to_owned(), value)).into());
    match parts.connect_options() {
        Ok(options) if has_password(&options) => options,
        _ => credentials.connect_options(),
    }
}

fn has_password(options: &PgConnectOptions) -> bool {
    // The only way to know; of a user or a host that would have to be encoded, sqlx makes a URL that it cannot read.
    let url = sqlx::ConnectOptions::to_url_lossy(&options.clone().username("user").host("host"));
    url.password().is_some()
}

/// What a URL says, as parameters; of two that say the same the later one counts.
fn parts(url: &str) -> Result<Vec<(String, String)>, UrlFault> {
    let (scheme, rest) = url.split_once("://").ok_or(UrlFault::Scheme)?;
    if !["postgres", "postgresql"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(UrlFault::Scheme);
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // The '/', '?' or '#' of a password ends what looks like the host, and its '@' comes later.
    if rest.contains(['@', '#']) {
        return Err(UrlFault::Reserved);
    }
    let mut said = Vec::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            said.push((name.to_owned(), value));
        }
    };
    let place = match authority.split_once('@') {
        None => authority,
        Some((_, place)) if place.contains('@') => return Err(UrlFault::Reserved),
        Some((who, place)) => {
            let (user, password) = who.split_once(':').unwrap_or((who, ""));
            say("user", decode(user)?);
            say("password", decode(password)?);
            place
        }
    };
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in place.split(',') {
        let (host, port) = split_place(place)?;
        hosts.push(decode(host)?);
        ports.push(port);
    }
    say("host", hosts.join(","));
    // That nothing is said of any port leaves them to the variable.
    if ports.iter().any(|port| !port.is_empty()) {
        say("port", ports.join(","));
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    say("dbname", decode(path.trim_start_matches('/'))?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // As in a form.
        let (name, value) = (decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?);
        check(&name, &value)?;
        said.push((name, value));
    }
    Ok(said)
}

/// Host and port.
fn split_place(place: &str) -> Result<(&str, &str), UrlFault> {
    let (host, port) = match place.strip_prefix('[').map(|address| address.split_once(']')) {
        Some(Some((address, port))) if address.parse::<IpAddr>().is_ok() => (address, port),
        Some(_) => return Err(UrlFault::Host),
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let is_ordinary = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if !host.chars().all(is_ordinary) {
        return Err(UrlFault::Host);
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, "")),
        Some(number) if number.is_empty() || is_port(number) => Ok((host, number)),
        _ => Err(UrlFault::Port),
    }
}

/// Whether this is a port's number.
pub(super) fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Whether this can be said for `sslmode`.
pub(super) fn is_ssl_mode(text: &str) -> bool {
    text.parse::<PgSslMode>().is_ok()
}

/// What may be said for `sslmode`.
pub(super) const SSL_MODES: &str = "disable, allow, prefer, require, verify-ca or verify-full";

/// Whether a parameter is known, and its value one that can be used.
fn check(name: &str, value: &str) -> Result<(), UrlFault> {
    let expect = |holds: bool, expected: &'static str| {
        if holds {
            Ok(())
        } else {
            let name = name.to_owned();
            Err(UrlFault::Value { name, expected })
        }
    };
    match name {
        "sslmode" | "ssl-mode" => expect(is_ssl_mode(value), SSL_MODES),
        "port" => expect(
            value.split(',').all(|port| port.is_empty() || is_port(port)),
            super::PORT,
        ),
        "hostaddr" => expect(
            value.split(',').all(|host| host.parse::<IpAddr>().is_ok()),
            "an address",
        ),
        WANTED => expect(Wanted::parse(value).is_some(), Wanted::VALUES),
        "statement-cache-capacity" => expect(value.parse::<usize>().is_ok(), "a number"),
        "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "sslcert" | "ssl-cert" | "sslkey" | "ssl-key" | "host"
        | "dbname" | "user" | "password" | "application_name" | "options" => Ok(()),
        _ if name.starts_with("options[") && name.ends_with(']') => Ok(()),
        // What is not like a name may be a part of a password.
        _ if name.len() <= 40
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-')) =>
        {
            Err(UrlFault::Parameter { name: name.to_owned() })
        }
        _ => Err(UrlFault::NamelessParameter),
    }
}

fn decode(text: &str) -> Result<String, UrlFault> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlFault::NotUtf8)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(url: &str) -> String {
        let options = Parts::read(url).unwrap().connect_options().unwrap();
        // With a user or a host that needs it, sqlx makes a URL that it cannot read.
        let password = sqlx::ConnectOptions::to_url_lossy(&options.clone().username("u").host("h"));
        let socket = options.get_socket().map(|path| path.display().to_string());
        format!(
            "{} {} {} {} {} {:?} {}",
            options.get_username(),
            password.password().unwrap_or("-"),
            socket.as_deref().unwrap_or(options.get_host()),
            options.get_port(),
            options.get_database().unwrap_or("-"),
            options.get_ssl_mode(),
            options.get_options().unwrap_or("-"),
        )
    }

    #[test]
    fn every_part_of_a_url_arrives() {
        for (url, expected) in [
            ("postgres://u:p@h:1/d", "u p h 1 d Prefer -"),
            (
                "POSTGRESQL://u%40x:a%2Fb%3A%40@h/a%20b",
                "u@x a%2Fb%3A%40 h 5432 a b Prefer -",
            ),
            ("postgres://u:a:b@[::1]:7/d", "u a%3Ab ::1 7 d Prefer -"),
            ("postgres://u:p@%2Frun%2Fpg:7/d", "u p /run/pg 7 d Prefer -"),
            (
                "postgres:///d?host=/run/pg&user=u&password=a%26b",
                "u a%26b /run/pg 5432 d Prefer -",
            ),
            (
                "postgres://u:p@h/d?sslmode=verify-full&port=9",
                "u p h 9 d VerifyFull -",
            ),
            (
                "postgres://u:p@h/d?options=-c%20a%3Db&options[c]=x y",
                "u p h 5432 d Prefer -c a=b -c c=x\\ y",
            ),
        ] {
            assert_eq!(described(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let value = |name: &str| UrlFault::Parameter { name: name.to_owned() };
        for (url, fault) in [
            ("", UrlFault::Scheme),
            ("h:5432/d", UrlFault::Scheme),
            ("mysql://u:p@h/d", UrlFault::Scheme),
            ("postgres://u:p@x@h/d", UrlFault::Reserved),
            ("postgres://u:p/x@h/d", UrlFault::Reserved),
            ("postgres://u:p?x@h/d", UrlFault::Reserved),
            ("postgres://u:p#x@h/d", UrlFault::Reserved),
            ("postgres://u:p@h/d#x", UrlFault::Reserved),
            ("postgres://u:p@h h/d", UrlFault::Host),
            ("postgres://u:p@[h]/d", UrlFault::Host),
            ("postgres://u:p@h:x/d", UrlFault::Port),
            ("postgres://u:p@h:0/d", UrlFault::Port),
            ("postgres://u:p@h:1:2/d", UrlFault::Port),
            ("postgres://u:p@[::1]2/d", UrlFault::Port),
            ("postgres://u:%ff@h/d", UrlFault::NotUtf8),
            ("postgres://u:p@h/d?sslmod=require", value("sslmod")),
            ("postgres://u:p@h/d?connect_timeout=1", value("connect_timeout")),
            ("postgres://u:p@h/d?P4ss=1", UrlFault::NamelessParameter),
        ] {
            assert_eq!(Parts::read(url).err(), Some(fault), "{url}");
        }
    }
}

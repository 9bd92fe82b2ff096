//! Who may do what over HTTP.
//!
//! Whoever has a token may act, and see what records held. A program sends it with each request (`Authorization: Bearer …`). A browser
//! sends it once, and has a cookie from then on, that no script can read and no other site can make it send; what acts has to come with a
//! second value besides, which only our own pages know. Neither is stored anywhere: both are keyed hashes, with the token as their key, so
//! that they outlast a restart, and end with the token.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use rand::RngExt as _;

use crate::{app::App, failure::Failure};

/// Characters of a token, at least: it is all that stands between the network and the undo.
const SHORTEST: usize = 16;
/// What stands before the name of somebody who only looks.
const READ_ONLY: &str = "read-only ";
/// How long a browser is known.
const KNOWN_FOR: Duration = Duration::from_secs(12 * 60 * 60);
const COOKIE: &str = "pg_import";
/// Where a script of ours sends the second value.
pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
const COOKIE_KEY: &str = "pg_import 2026 page: a browser's cookie";
const CSRF_KEY: &str = "pg_import 2026 page: what acts must come with";

/// A secret, and whose it is.
#[derive(Clone)]
pub struct Token {
    name: String,
    /// Whether whoever has it only looks.
    read_only: bool,
    cookie_key: [u8; 32],
    csrf_key: [u8; 32],
    hash: blake3::Hash,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error(
        "the token of '{name}' is shorter than {SHORTEST} characters, and could be guessed: make one with `openssl rand -hex 24`"
    )]
    Short { name: String },
    #[error("'{name}' cannot name a token: letters, digits, and '-', '_', '.', '@' can")]
    Name { name: String },
    #[error("the name '{name}' is there twice")]
    Twice { name: String },
    #[error("'{name}' has the token of '{other}': nobody could tell who it was")]
    Shared { name: String, other: String },
    #[error("line {line} has no token: each line is a name, a colon, and the token")]
    Line { line: usize },
}

impl Token {
    /// # Errors
    /// [`TokenError`]; the secret is no part of it.
    pub fn new(name: &str, secret: &str) -> Result<Self, TokenError> {
        let (name, read_only) = match name.strip_prefix(READ_ONLY) {
            Some(name) => (name.trim(), true),
            None => (name, false),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(TokenError::Name { name: name.to_owned() });
        }
        if secret.chars().count() < SHORTEST {
            return Err(TokenError::Short { name: name.to_owned() });
        }
        Ok(Self {
            name: name.to_owned(),
            read_only,
            cookie_key: blake3::derive_key(COOKIE_KEY, secret.as_bytes()),
            csrf_key: blake3::derive_key(CSRF_KEY, secret.as_bytes()),
            hash: blake3::hash(secret.as_bytes()),
        })
    }

    /// Who acts with it, and who looks with it.
    fn holder(&self) -> (Option<String>, Option<String>) {
        let name = Some(self.name.clone());
        if self.read_only { (None, name) } else { (name, None) }
    }

    fn cookie_hash(&self, text: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.cookie_key, text.as_bytes())
    }

    /// What acts with this cookie must come with.
    fn csrf(&self, cookie: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.csrf_key, cookie.as_bytes())
    }
}

/// Those who may act, or look; nobody, where there is none.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// One token, of nobody in particular.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn one(secret: &str) -> Result<Self, TokenError> {
        Ok(Self(vec![Token::new("token", secret.trim())?]))
    }

    /// Of a text with a line `name:token`, or `read-only name:token`, for each; what is empty, or begins with `#`, is passed over.
    ///
    /// # Errors
    /// [`TokenError`], with the line.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut tokens = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, secret) = text.split_once(':').ok_or(TokenError::Line { line })?;
            tokens.add(Token::new(name.trim(), secret.trim())?)?;
        }
        Ok(tokens)
    }

    fn add(&mut self, token: Token) -> Result<(), TokenError> {
        if self.0.iter().any(|other| other.name == token.name) {
            return Err(TokenError::Twice { name: token.name });
        }
        if let Some(other) = self.0.iter().find(|other| other.hash == token.hash) {
            return Err(TokenError::Shared {
                name: token.name,
                other: other.name.clone(),
            });
        }
        self.0.push(token);
        Ok(())
    }

    /// All of both.
    ///
    /// # Errors
    /// [`TokenError::Twice`].
    pub fn and(mut self, others: Self) -> Result<Self, TokenError> {
        for token in others.0 {
            self.add(token)?;
        }
        Ok(self)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose this secret is. Compared by their hashes, which takes the same time whatever is in them.
    fn find(&self, secret: &str) -> Option<&Token> {
        let hash = blake3::hash(secret.as_bytes());
        self.0.iter().find(|token| token.hash == hash)
    }

    /// Whose browser this is.
    fn of_cookie(&self, cookie: &str, now: u64) -> Option<&Token> {
        let (text, hash) = cookie.rsplit_once('.')?;
        let mut parts = text.splitn(3, '.');
        let (expires, _nonce, name) = (parts.next()?, parts.next()?, parts.next()?);
        let token = self.0.iter().find(|token| token.name == name)?;
        let hash = blake3::Hash::from_hex(hash).ok()?;
        (token.cookie_hash(text) == hash && expires.parse::<u64>().ok()? > now).then_some(token)
    }
}

/// **Seconds** since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_secs())
}

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visitor {
    /// Whose token came with it, that allows to act.
    pub who: Option<String>,
    /// Whose token came with it, that only allows to look: they see what anybody does where that takes no token.
    pub looker: Option<String>,
    /// Where it comes from.
    pub address: Option<String>,
    /// What forms for this browser hold, if it is known by its cookie.
    pub csrf: Option<String>,
}

impl Visitor {
    fn of(app: &App, parts: &Parts) -> Result<Self, Failure> {
        let address = address(app.config.behind_proxy, parts);
        let tokens = &app.config.tokens;
        if let Some(secret) = bearer(&parts.headers) {
            let token = tokens
                .find(secret)
                .ok_or_else(|| Failure::new(StatusCode::UNAUTHORIZED, "this token is nobody's"))?;
            let (who, looker) = token.holder();
            return Ok(Self {
                who,
                looker,
                address,
                csrf: None,
            });
        }
        let jar = CookieJar::from_headers(&parts.headers);
        let known = jar
            .get(COOKIE)
            .and_then(|cookie| Some((tokens.of_cookie(cookie.value(), now())?, cookie.value())));
        let (who, looker) = known.map(|(token, _)| token.holder()).unwrap_or_default();
        Ok(Self {
            who,
            looker,
            address,
            csrf: known.map(|(token, cookie)| token.csrf(cookie).to_hex().to_string()),
        })
    }

    /// Whether there is anything that they may do, once they are known.
    pub fn could_act(&self, app: &App) -> bool {
        self.looker.is_none() && !app.config.tokens.is_empty()
    }

    /// # Errors
    /// What to do, where not anybody may look.
    pub fn must_look(&self, app: &App) -> Result<(), Failure> {
        if app.config.private && self.looker.is_none() {
            self.must_be_known(app)?;
        }
        Ok(())
    }

    /// Who asks, if it is somebody who may act, and see what records held.
    ///
    /// # Errors
    /// What to do, otherwise.
    pub fn must_be_known(&self, app: &App) -> Result<&str, Failure> {
        match &self.who {
            Some(who) => Ok(who),
            None if self.looker.is_some() => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "this takes a token that allows more than to look",
            )),
            None if app.config.tokens.is_empty() => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "this page was started without a token, and only shows: set PG_IMPORT_HTTP_TOKEN, or write one into the staging's file .http.tokens",
            )),
            None => Err(Failure::new(
                StatusCode::UNAUTHORIZED,
                "this takes the token: sign in, or send `Authorization: Bearer …`",
            )),
        }
    }

    /// Who asks for something to be done. Of a browser, the second value must have come with it.
    ///
    /// # Errors
    /// What to do, otherwise.
    pub fn must_act(&self, app: &App, second: Option<&str>) -> Result<&str, Failure> {
        let who = self.must_be_known(app)?;
        self.must_come_from_us(second)?;
        Ok(who)
    }

    /// # Errors
    /// What to do, where a browser was made to ask by a page that is not ours.
    pub fn must_come_from_us(&self, second: Option<&str>) -> Result<(), Failure> {
        match &self.csrf {
            None => Ok(()),
            Some(csrf) if second.is_some_and(|second| is_same(csrf, second)) => Ok(()),
            Some(_) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "this did not come from a page of ours, or that page is older than your signing in: load it anew",
            )),
        }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        // Found out once for each request.
        if let Some(visitor) = parts.extensions.get::<Self>() {
            return Ok(visitor.clone());
        }
        Self::of(app, parts)
    }
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
fn is_same(ours: &str, theirs: &str) -> bool {
    blake3::hash(ours.as_bytes()) == blake3::hash(theirs.as_bytes())
}

/// The secret of a program. What a reverse proxy has asked for (`Basic …`) is not for us.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

/// The other end; of a reverse proxy, the one before it.
fn address(behind_proxy: bool, parts: &Parts) -> Option<String> {
    // What stands before the last one, whoever asks may have made up.
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
    if behind_proxy && let Some(forwarded) = forwarded {
        let last = forwarded.to_str().ok()?.rsplit(',').next()?.trim();
        let with_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
        let address = last.parse::<IpAddr>().ok().or_else(with_port);
        return address.map(|address| address.to_string());
    }
    let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(address.ip().to_string())
}

/// The cookie of a browser that sent a secret; `None` where that is nobody's.
pub(crate) fn sign_in(app: &App, secret: &str, headers: &HeaderMap) -> Option<CookieJar> {
    let token = app.config.tokens.find(secret.trim())?;
    let nonce: u128 = rand::rng().random();
    let text = format!("{}.{nonce:032x}.{}", now() + KNOWN_FOR.as_secs(), token.name);
    let hash = token.cookie_hash(&text).to_hex();
    let mut cookie = cookie(app, format!("{text}.{hash}"));
    let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    cookie.set_secure(app.config.behind_proxy && is_https);
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    Some(CookieJar::new().add(cookie))
}

/// Takes the cookie back.
pub(crate) fn sign_out(app: &App, headers: &HeaderMap) -> CookieJar {
    CookieJar::from_headers(headers).remove(cookie(app, String::new()))
}

/// Ends with the browser; for how long it is good at most, its value says.
fn cookie(app: &App, value: String) -> Cookie<'static> {
    let mut cookie = Cookie::new(COOKIE, value);
    cookie.set_path(app.path("/"));
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of some length";

    #[test]
    fn a_token_that_could_be_guessed_or_has_no_name_is_refused_without_being_told() {
        let error = Tokens::one("short secret").unwrap_err().to_string();
        assert!(
            error.contains("shorter than 16") && !error.contains("short secret"),
            "{error}"
        );
        for (text, expected) in [
            (
                "# nobody\n\nmia: 0123456789abcdef\nmia:fedcba9876543210",
                "'mia' is there twice",
            ),
            ("mia:0123456789abcdef\n0123456789abcdef", "line 2 has no token"),
            ("m<b>:0123456789abcdef", "cannot name a token"),
        ] {
            let error = Tokens::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("0123456789"), "{error}");
        }
        let tokens = Tokens::parse(&format!("read-only mia:{SECRET}")).unwrap();
        assert_eq!(tokens.find(SECRET).unwrap().holder(), (None, Some("mia".to_owned())));
        assert!(!format!("{:?}", Tokens::one(SECRET).unwrap()).contains("secret"));
    }

    #[test]
    fn a_cookie_is_good_for_its_token_and_its_time_alone() {
        let tokens = Tokens::parse(&format!("mia:{SECRET}\nben:another secret of length")).unwrap();
        let token = tokens.find(SECRET).unwrap();
        let text = "1000.00.mia";
        let cookie = format!("{text}.{}", token.cookie_hash(text).to_hex());
        assert_eq!(tokens.of_cookie(&cookie, 999).unwrap().name, "mia");
        assert!(tokens.of_cookie(&cookie, 1000).is_none(), "its time is over");
        for forged in [
            cookie.replace("1000", "9000"),
            cookie.replace("mia", "ben"),
            cookie.replace("mia", "eve"),
            text.to_owned(),
            String::new(),
            format!("{text}.zz"),
        ] {
            assert!(tokens.of_cookie(&forged, 999).is_none(), "{forged}");
        }
        let changed = Tokens::parse("mia:a new secret of some length").unwrap();
        assert!(changed.of_cookie(&cookie, 999).is_none(), "the token is another");
        assert!(tokens.find("a secret").is_none());
    }
}

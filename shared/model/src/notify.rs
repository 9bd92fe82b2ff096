//! Where somebody is told of an import's end.

use std::{fmt, net::IpAddr, str::FromStr};

use url::{Host, Url};

/// An address that messages are sent to. It may hold a secret: nothing shows more of it than its host.
#[derive(Clone, PartialEq, Eq)]
pub struct NotifyUrl(Url);

/// **Characters** of an address, at most.
const MAX_LENGTH: usize = 2048;

/// What is wrong with an address; never the address itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotifyUrlError {
    #[error("expected an address such as https://hooks.example.org/imports")]
    Form,
    #[error("expected an address that begins with https:// (or http://, for networks that workers allow)")]
    Scheme,
    #[error("an address has {MAX_LENGTH} characters at most")]
    Length,
}

impl FromStr for NotifyUrl {
    type Err = NotifyUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text.trim()).map_err(|_| NotifyUrlError::Form)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(NotifyUrlError::Scheme);
        }
        if url.as_str().chars().count() > MAX_LENGTH {
            return Err(NotifyUrlError::Length);
        }
        Ok(Self(url))
    }
}

impl NotifyUrl {
    /// The whole of it, for whoever sends or stores it.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address of its host, where it is named by that.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }
}

/// Scheme and host.
impl fmt::Display for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotifyUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_more_than_the_host() {
        let url: NotifyUrl = "https://user:pa55@hooks.example.org:8443/T0/s3cret?k=t0ken#f"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "https://hooks.example.org:8443");
        assert_eq!(format!("{url:?}"), "NotifyUrl(https://hooks.example.org:8443)");
    }

    #[test]
    fn what_is_no_address_of_the_web_is_refused() {
        for (text, expected) in [
            ("", NotifyUrlError::Form),
            ("hooks.example.org/imports", NotifyUrlError::Form),
            ("https://", NotifyUrlError::Form),
            ("file:///etc/passwd", NotifyUrlError::Scheme),
            ("mailto:ops@example.org", NotifyUrlError::Scheme),
            (
                &format!("https://example.org/{}", "x".repeat(MAX_LENGTH)),
                NotifyUrlError::Length,
            ),
        ] {
            assert_eq!(text.parse::<NotifyUrl>(), Err(expected), "{text}");
        }
    }
}

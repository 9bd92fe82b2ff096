//! Where an object is, as a person writes it.

use std::{fmt, path::Path};

use url::Url;

/// What keeps an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    S3,
    GoogleCloud,
    Azure,
    Http,
    /// A file that several machines see.
    File,
}

/// Where an object is, or all whose names begin so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub(crate) service: Service,
    /// All before the key: `s3://bucket`, `https://host:port`, nothing of a file.
    pub(crate) store: String,
    /// The name within the store, without a slash at its beginning. As it is; of HTTP, percent-encoded.
    pub(crate) key: String,
}

/// What is wrong with an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error(
        "nothing is known that reads {place}: name a file's path, or an object as s3://bucket/key, gs://bucket/key, az://container/key or https://host/path"
    )]
    Scheme { place: String },
    #[error("{scheme}:// is followed by no {what}: name an object as {example}")]
    Incomplete {
        scheme: String,
        what: &'static str,
        example: &'static str,
    },
    #[error("the address of {host} is no URL")]
    Url { host: String },
    /// Its text may hold a secret.
    #[error(
        "the address of an object on {host} has {what}, which may be a secret, and is stored with the import: pipe the object instead, as in `curl -fsS \"$URL\" | enqueue`"
    )]
    Secret { host: String, what: &'static str },
    #[error("{path} is no absolute path that can be written as text")]
    Path { path: String },
}

impl Address {
    /// Reads an address; `None` of what is no address, but a path.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Option<Self>, AddressError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(None);
        };
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(is_scheme) {
            return Ok(None);
        }
        let service = match scheme.to_ascii_lowercase().as_str() {
            "s3" => Service::S3,
            "gs" => Service::GoogleCloud,
            "az" => Service::Azure,
            "http" | "https" => return Self::of_url(text).map(Some),
            _ => {
                let place = rest.split(['?', '#']).next().unwrap_or_default();
                let place = place.rsplit('@').next().unwrap_or_default();
                return Err(AddressError::Scheme {
                    place: format!("{scheme}://{place}"),
                });
            }
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let (what, example) = match service {
            Service::Azure => ("container", "az://container/key"),
            Service::GoogleCloud => ("bucket", "gs://bucket/key"),
            _ => ("bucket", "s3://bucket/key"),
        };
        if bucket.is_empty() {
            return Err(AddressError::Incomplete {
                scheme: scheme.to_owned(),
                what,
                example,
            });
        }
        if bucket.contains('@') {
            return Err(AddressError::Secret {
                host: bucket.rsplit('@').next().unwrap_or_default().to_owned(),
                what: "a user's name",
            });
        }
        Ok(Some(Self {
            service,
            store: format!("{}://{bucket}", scheme.to_ascii_lowercase()),
            key: key.to_owned(),
        }))
    }

    fn of_url(text: &str) -> Result<Self, AddressError> {
        let said = text.split("://").nth(1).unwrap_or_default();
        let host = said.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default().to_owned();
        let Ok(url) = Url::parse(text) else {
            return Err(AddressError::Url { host });
        };
        if !url.username().is_empty() || url.password().is_some() {
            let what = "a user's name";
            return Err(AddressError::Secret { host, what });
        }
        if url.query().is_some() || url.fragment().is_some() {
            let what = "a query";
            return Err(AddressError::Secret { host, what });
        }
        Ok(Self {
            service: Service::Http,
            store: url.origin().ascii_serialization(),
            key: url.path().strip_prefix('/').unwrap_or_default().to_owned(),
        })
    }

    /// That of a file which several machines see.
    ///
    /// # Errors
    /// [`AddressError::Path`], of one that is not absolute, or no text.
    pub fn of_file(path: &Path) -> Result<Self, AddressError> {
        let text = path.to_str().filter(|_| path.is_absolute());
        let text = text.ok_or_else(|| AddressError::Path {
            path: path.display().to_string(),
        })?;
        Ok(Self {
            service: Service::File,
            store: String::new(),
            key: text.trim_start_matches('/').to_owned(),
        })
    }

    /// Reads what [`Address`] was written as: the address of an object, or an absolute path.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn read(text: &str) -> Result<Self, AddressError> {
        match Self::parse(text)? {
            Some(address) => Ok(address),
            None => Self::of_file(Path::new(text)),
        }
    }

    /// Whether another one is the same store's, and its key that of a folder which has this object in it, or its own key.
    #[must_use]
    pub fn is_below(&self, folder: &Self) -> bool {
        let key = folder.key.trim_end_matches('/');
        self.store == folder.store
            && (key.is_empty()
                || self
                    .key
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// Whether it is one of many objects that is meant, or all of them: a name that ends with a slash, or has none.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.service != Service::Http && (self.key.is_empty() || self.key.ends_with('/'))
    }

    /// The name within the store.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it is a file's.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.service == Service::File
    }

    /// Whether objects can be found by the beginnings of their names.
    #[must_use]
    pub fn can_list(&self) -> bool {
        !matches!(self.service, Service::Http | Service::File)
    }

    /// That of another object of the same store.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap().unwrap()
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in [
            "s3://bucket/in box/a%20b#1.csv",
            "gs://bucket/day/",
            "az://container/x",
            "https://example.org:8443/a/b.csv",
            "http://127.0.0.1:80/a%20b.csv",
        ] {
            let address = parse(text);
            assert_eq!(address.to_string(), text.replace(":80/", "/"));
            assert_eq!(Address::read(&address.to_string()), Ok(address));
        }
        assert!(parse("s3://bucket").is_prefix() && parse("s3://bucket/a/").is_prefix());
        assert!(!parse("s3://bucket/a").is_prefix() && !parse("https://host/").is_prefix());
        assert_eq!(Address::read("/mnt/a b.csv").unwrap().to_string(), "/mnt/a b.csv");
    }

    #[test]
    fn what_is_a_path_is_no_address() {
        for path in ["a.csv", "/a/b", "C:/x", "./s3:/x", "a b://c"] {
            assert_eq!(Address::parse(path), Ok(None), "{path}");
        }
        assert!(Address::read("a.csv").is_err());
    }

    #[test]
    fn what_may_be_a_secret_is_neither_taken_nor_said() {
        for text in [
            "https://user:hunter2@host/a",
            "https://host/a?sig=hunter2",
            "https://host/a#hunter2",
            "s3://hunter2@bucket/a",
            "ftp://hunter2@host/a",
            "https://hunter2@[/a",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

//! What may be read: who names addresses may be somebody else than who has the rights to read them.

use std::{path::Path, str::FromStr};

use crate::{Address, AddressError};

/// Objects and files that may be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Allowed {
    /// None at all.
    #[default]
    None,
    /// Those whose addresses begin like this.
    Below(Vec<Address>),
    /// All: who names them reads them.
    All,
}

impl FromStr for Allowed {
    type Err = AddressError;

    /// Addresses, or absolute paths, with commas between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let below = named.map(Address::read).collect::<Result<Vec<_>, _>>()?;
        Ok(if below.is_empty() {
            Self::None
        } else {
            Self::Below(below)
        })
    }
}

impl Allowed {
    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::None, other) | (other, Self::None) => other,
            (Self::Below(mut these), Self::Below(others)) => {
                these.extend(others);
                Self::Below(these)
            }
        }
    }

    /// Whether an object may be read, by its address.
    #[must_use]
    pub fn allows(&self, address: &Address) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Below(prefixes) => prefixes.iter().any(|prefix| address.is_below(prefix)),
        }
    }

    /// Whether a file may be read, by where it really is, whatever links led there.
    #[must_use]
    pub(crate) fn allows_file(&self, path: &Path) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Below(prefixes) => prefixes.iter().filter(|prefix| prefix.is_file()).any(|folder| {
                let folder = Path::new(&folder.to_string()).canonicalize();
                folder.is_ok_and(|folder| path.starts_with(folder))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &str, address: &str) -> bool {
        let allowed: Allowed = allowed.parse().unwrap();
        allowed.allows(&Address::read(address).unwrap())
    }

    #[test]
    fn what_is_below_a_prefix_is_allowed_and_nothing_beside_it() {
        for (allowed, address, expected) in [
            ("", "s3://bucket/a", false),
            ("s3://bucket/in/", "s3://bucket/in/a", true),
            ("s3://bucket/in", "s3://bucket/in/a", true),
            ("s3://bucket/in", "s3://bucket/inner/a", false),
            ("s3://bucket", "s3://bucket/a", true),
            ("s3://bucket", "s3://bucket-private/a", false),
            ("gs://bucket, s3://bucket/x", "gs://bucket/a", true),
            ("https://host/in", "https://host:8443/in/a", false),
            ("https://host/in", "http://host/in/a", false),
            ("/mnt/share", "s3://mnt/share", false),
        ] {
            assert_eq!(allows(allowed, address), expected, "{allowed} {address}");
        }
        let both = Allowed::None
            .and("s3://a".parse().unwrap())
            .and("s3://b".parse().unwrap());
        assert!(both.allows(&Address::read("s3://b/x").unwrap()) && both.allows(&Address::read("s3://a/x").unwrap()));
    }
}

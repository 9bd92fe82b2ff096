//! What a worker may read of what imports refer to: who submits names any address, and must not reach with it what only the worker can.

use std::{path::Path, str::FromStr};

use object_source::{Address, AddressError};

/// The variable that says it.
pub const ALLOW_VARIABLE: &str = "PG_IMPORT_ALLOW_REFERENCE";

/// Objects and files that a worker may read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedReferences {
    /// None at all.
    #[default]
    None,
    /// Those whose addresses begin like this.
    Below(Vec<Address>),
    /// All: of a worker that whoever submits has started.
    All,
}

impl FromStr for AllowedReferences {
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

impl AllowedReferences {
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

    /// Whether an object may be read. Of a file it counts where its links lead.
    #[must_use]
    pub fn allow(&self, address: &Address) -> bool {
        let prefixes = match self {
            Self::None => return false,
            Self::All => return true,
            Self::Below(prefixes) => prefixes,
        };
        if !address.is_file() {
            return prefixes.iter().any(|prefix| address.is_below(prefix));
        }
        // What cannot be followed cannot be read.
        let Ok(file) = Path::new(&address.to_string()).canonicalize() else {
            return prefixes.iter().any(|prefix| address.is_below(prefix));
        };
        let mut folders = prefixes.iter().filter(|prefix| prefix.is_file());
        folders.any(|folder| {
            let folder = Path::new(&folder.to_string()).canonicalize();
            folder.is_ok_and(|folder| file.starts_with(folder))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &str, address: &str) -> bool {
        let allowed: AllowedReferences = allowed.parse().unwrap();
        allowed.allow(&Address::read(address).unwrap())
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
        let both = AllowedReferences::None
            .and("s3://a".parse().unwrap())
            .and("s3://b".parse().unwrap());
        assert!(both.allow(&Address::read("s3://b/x").unwrap()) && both.allow(&Address::read("s3://a/x").unwrap()));
    }

    #[test]
    fn links_do_not_lead_out_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let share = dir.path().join("share");
        std::fs::create_dir(&share).unwrap();
        std::fs::write(dir.path().join("secret"), "").unwrap();
        std::fs::write(share.join("a.csv"), "").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), share.join("link")).unwrap();
        let at = |path: &str| share.join(path).display().to_string();
        let folder = share.display().to_string();
        assert!(allows(&folder, &at("a.csv")));
        assert!(!allows(&folder, &at("link")) && !allows(&folder, &at("../secret")));
    }
}

//! What is meant by what was named: a file, a directory, an object, all objects whose names begin so, or a pattern.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use object_source::{Address, Object, ObjectError, Stores};
use source::Source;

use crate::output;

/// What is to be read, in the order in which it was named; what a directory, a beginning or a pattern stands for, by its names; nothing twice. Where it
/// is read `by_reference`, files are what several machines see.
pub async fn find(inputs: &[PathBuf], by_reference: bool) -> anyhow::Result<Vec<Source>> {
    let stores = Stores::default();
    let mut sources = Vec::new();
    for input in inputs {
        let address = input.to_str().map(Address::parse).transpose()?.flatten();
        match address {
            None if by_reference => {
                for path in files(input)? {
                    sources.push(Source::Object(shared_file(&stores, &path).await?));
                }
            }
            None => sources.extend(files(input)?.into_iter().map(Source::File)),
            Some(address) => sources.extend(objects(&stores, &address).await?.into_iter().map(Source::Object)),
        }
    }
    // However it is spelled, and through whatever link.
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert(source.describe()));
    Ok(sources)
}

/// A file that workers read under the same path.
async fn shared_file(stores: &Stores, path: &Path) -> anyhow::Result<Object> {
    let found = path
        .canonicalize()
        .with_context(|| format!("cannot open {}", path.display()))?;
    Ok(stores.find(&Address::of_file(&found)?).await?)
}

/// What is meant by a name that stands for one file or object.
pub async fn find_one(input: &Path) -> anyhow::Result<Source> {
    match input.to_str().map(Address::parse).transpose()?.flatten() {
        None => Ok(Source::File(input.to_owned())),
        Some(address) => Ok(Source::Object(Stores::default().find(&address).await?)),
    }
}

/// The objects under an address. Where the name ends with a slash, those below it, but for hidden ones.
async fn objects(stores: &Stores, address: &Address) -> anyhow::Result<Vec<Object>> {
    if address.is_prefix() {
        let hidden = |key: &str| key.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        return Ok(stores.list(address, |key| !hidden(key)).await?);
    }
    let pattern = address.key().find(['*', '?', '[']).filter(|_| address.can_list());
    match (stores.find(address).await, pattern) {
        (Err(ObjectError::Missing { .. }), Some(wild)) => {
            let pattern = glob::Pattern::new(address.key()).with_context(|| format!("'{address}' is no pattern"))?;
            let fits = |key: &str| pattern.matches_with(key, PATTERNS);
            let beginning = address.with_key(address.key().get(..wild).unwrap_or_default());
            let found = stores.list(&beginning, fits).await?;
            if found.is_empty() {
                output::say(&format!("no object is like '{address}'"));
            }
            Ok(found)
        }
        (found, _) => Ok(vec![found?]),
    }
}

/// The files that are meant by one name: in a directory those in it, but for hidden ones and those of directories below. A name that is no file is left
/// as it is: to open it tells what is wrong.
fn files(input: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if input.is_dir() {
        return in_directory(input).with_context(|| format!("cannot read the directory {}", input.display()));
    }
    match pattern(input).filter(|_| !input.exists()) {
        Some(pattern) => {
            let found = fitting(pattern)?;
            if found.is_empty() {
                output::say(&format!("no file is like '{pattern}'"));
            }
            Ok(found)
        }
        None => Ok(vec![input.to_owned()]),
    }
}

/// How patterns are read: a star stands for a part of one name.
const PATTERNS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

fn in_directory(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The name, if it is a pattern.
fn pattern(input: &Path) -> Option<&str> {
    input.to_str().filter(|text| text.contains(['*', '?', '[']))
}

fn fitting(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let paths = glob::glob_with(pattern, PATTERNS).with_context(|| format!("'{pattern}' is no pattern"))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.with_context(|| format!("cannot look for '{pattern}'"))?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn directories_and_patterns_stand_for_their_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", ".hidden", "c.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("below")).unwrap();
        let below = dir.path().canonicalize().unwrap();
        for (inputs, expected) in [
            (vec![""], vec!["a.csv", "b.csv", "c.txt"]),
            (vec!["b.csv", "*.csv"], vec!["b.csv", "a.csv"]),
            (vec!["*", "below/../a.csv"], vec!["a.csv", "b.csv", "c.txt"]),
            (vec!["none.csv", "none*"], vec!["none.csv"]),
            (vec!["below"], vec![]),
        ] {
            let paths: Vec<PathBuf> = inputs.iter().map(|input| below.join(input)).collect();
            let names = find(&paths, false)
                .await
                .unwrap()
                .into_iter()
                .map(|source| match source {
                    Source::File(path) => path.strip_prefix(&below).unwrap().display().to_string(),
                    other => other.describe(),
                });
            assert_eq!(names.collect::<Vec<_>>(), expected, "{inputs:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_address_of_an_object_is_said() {
        for (input, words) in [("ftp://host/a.csv", "s3://bucket/key"), ("s3:///a", "bucket")] {
            let error = find(&[PathBuf::from(input)], false).await.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}

//! Which files are meant by what was named: a file, a directory, or a pattern.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::output;

/// The files in the order in which they were named, those of a directory or a pattern by their names; none twice.
///
/// A directory stands for the files in it, but for hidden ones and those of directories below. A name that is no file is left as it is: to
/// open it tells what is wrong.
pub fn expand(inputs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        if input.is_dir() {
            files
                .extend(in_directory(input).with_context(|| format!("cannot read the directory {}", input.display()))?);
        } else if input.exists() {
            files.push(input.clone());
        } else {
            match pattern(input) {
                Some(pattern) => {
                    let found = fitting(pattern)?;
                    if found.is_empty() {
                        output::say(&format!("no file is like '{pattern}'"));
                    }
                    files.extend(found);
                }
                None => files.push(input.clone()),
            }
        }
    }
    // However it is spelled, and through whatever link.
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    Ok(files)
}

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
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let paths = glob::glob_with(pattern, options).with_context(|| format!("'{pattern}' is no pattern"))?;
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

    #[test]
    fn directories_and_patterns_stand_for_their_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", ".hidden", "c.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("below")).unwrap();
        let names = |inputs: &[&str]| -> Vec<String> {
            let inputs: Vec<PathBuf> = inputs.iter().map(|input| dir.path().join(input)).collect();
            let files = expand(&inputs).unwrap();
            files
                .iter()
                .map(|file| file.strip_prefix(dir.path()).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(names(&[""]), ["a.csv", "b.csv", "c.txt"]);
        assert_eq!(names(&["b.csv", "*.csv"]), ["b.csv", "a.csv"]);
        assert_eq!(names(&["*", "below/../a.csv"]), ["a.csv", "b.csv", "c.txt"]);
        assert_eq!(names(&["none.csv", "none*"]), ["none.csv"]);
        assert_eq!(names(&["below"]), [""; 0]);
    }
}

//! Finds Postgres's server programs. Knows where systems put them, and nothing of clusters.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::EmbeddedError;

const VARIABLE: &str = "PG_IMPORT_PG_BIN";
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Where packages put a directory for each version: Debian, Red Hat's and SUSE's and Alpine's packages, Homebrew,
/// Postgres.app.
const VERSIONED: [(&str, &str, &str); 9] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/lib", "postgresql", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The directory that holds `initdb`, `postgres` and `pg_ctl`: `$PG_IMPORT_PG_BIN`, or else the first that has all
/// three of `pg_config --bindir`, `PATH`, and the places where packages put them (newest version first).
///
/// # Errors
/// When `$PG_IMPORT_PG_BIN` is set and lacks one of them, and when no place has them all; the message lists the places.
pub fn find_bin_dir() -> Result<PathBuf, EmbeddedError> {
    Search::of_this_machine().any()
}

/// The places to look in.
pub(super) struct Search {
    /// What the user said; then nothing else counts.
    chosen: Option<PathBuf>,
    places: Vec<Place>,
}

struct Place {
    label: String,
    dirs: Vec<PathBuf>,
}

impl Search {
    pub(super) fn of_this_machine() -> Self {
        let chosen = std::env::var_os(VARIABLE)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = vec![
            Place {
                label: "pg_config --bindir".to_owned(),
                dirs: pg_config().into_iter().collect(),
            },
            Place {
                label: "PATH".to_owned(),
                dirs: std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect(),
            },
        ];
        places.extend(VERSIONED.iter().map(|(parent, prefix, inner)| {
            Place {
                label: Path::new(parent)
                    .join(format!("{prefix}*"))
                    .join(inner)
                    .display()
                    .to_string(),
                dirs: versions_in(Path::new(parent), prefix, inner),
            }
        }));
        Self { chosen, places }
    }

    /// The first directory that has all programs, of whatever version.
    pub(super) fn any(&self) -> Result<PathBuf, EmbeddedError> {
        self.whole()?.into_iter().next().ok_or_else(|| self.nothing())
    }

    /// The first directory whose programs can run a cluster made by `version`, which is `PG_VERSION`'s content.
    pub(super) fn of_version(&self, version: &str, data_dir: &Path) -> Result<PathBuf, EmbeddedError> {
        let whole = self.whole()?;
        if whole.is_empty() {
            return Err(self.nothing());
        }
        let mut found = Vec::new();
        for dir in whole {
            match major_version(&dir) {
                Some(major) if major == version => return Ok(dir),
                Some(major) => found.push(format!("Postgres {major} in {}", dir.display())),
                None => found.push(format!("an unknown version in {}", dir.display())),
            }
        }
        Err(EmbeddedError::OtherVersion {
            data_dir: data_dir.to_owned(),
            cluster: version.to_owned(),
            found,
        })
    }

    /// Every directory that has all programs, best first.
    fn whole(&self) -> Result<Vec<PathBuf>, EmbeddedError> {
        if let Some(dir) = &self.chosen {
            let missing = missing(dir);
            if !missing.is_empty() {
                return Err(EmbeddedError::ChosenBinaries {
                    dir: dir.clone(),
                    missing: missing.join(", "),
                });
            }
            return Ok(vec![absolute(dir)]);
        }
        let mut whole: Vec<PathBuf> = Vec::new();
        for dir in self
            .places
            .iter()
            .flat_map(|place| &place.dirs)
            .filter(|dir| missing(dir).is_empty())
        {
            if !whole.contains(dir) {
                whole.push(dir.clone());
            }
        }
        Ok(whole)
    }

    fn nothing(&self) -> EmbeddedError {
        let mut looked_in = vec![format!("${VARIABLE} (not set)")];
        looked_in.extend(self.places.iter().map(|place| {
            let dirs: Vec<_> = place.dirs.iter().map(|dir| dir.display().to_string()).collect();
            let dirs = if dirs.is_empty() {
                "nothing there".to_owned()
            } else {
                dirs.join(", ")
            };
            format!("{} ({dirs})", place.label)
        }));
        EmbeddedError::NoBinaries { looked_in }
    }
}

/// The programs run in another working directory than ours.
fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

fn missing(dir: &Path) -> Vec<&'static str> {
    let runs =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    PROGRAMS
        .into_iter()
        .filter(|program| !runs(&dir.join(program)))
        .collect()
}

/// What `pg_config` says, if it is there. It may belong to a client library whose server is not installed.
fn pg_config() -> Option<PathBuf> {
    let done = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let dir = PathBuf::from(String::from_utf8(done.stdout).ok()?.trim());
    (done.status.success() && dir.is_absolute()).then_some(dir)
}

/// `parent/prefix*/inner`, the highest version first.
fn versions_in(parent: &Path, prefix: &str, inner: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(prefix)?;
            let version = rest
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|part| part.parse().ok())
                .collect();
            let dir = parent.join(&name).join(inner);
            dir.is_dir().then_some((version, dir))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The number before the point: `postgres (PostgreSQL) 15.3 (Debian 15.3-1)` is 15.
fn major_version(dir: &Path) -> Option<String> {
    let done = Command::new(dir.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(number.chars().take_while(char::is_ascii_digit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that do nothing but tell a version.
    fn install(dir: &Path, version: &str, programs: &[&str]) {
        fs::create_dir_all(dir).unwrap();
        for program in programs {
            let path = dir.join(program);
            fs::write(
                &path,
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Distribution 1.2)'\n"),
            )
            .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn places(dirs: &[&Path]) -> Vec<Place> {
        dirs.iter()
            .map(|dir| Place {
                label: "a place".to_owned(),
                dirs: vec![dir.to_path_buf()],
            })
            .collect()
    }

    #[test]
    fn a_place_that_lacks_a_program_is_passed_over() {
        let top = tempfile::tempdir().unwrap();
        let (client, server) = (top.path().join("client"), top.path().join("server"));
        install(&client, "17.1", &["postgres", "pg_ctl"]);
        install(&server, "15.3", &PROGRAMS);
        let search = Search {
            chosen: None,
            places: places(&[&client, &server]),
        };
        assert_eq!(search.any().unwrap(), server);
    }

    #[test]
    fn missing_programs_are_reported_with_every_place_and_what_to_install() {
        let search = Search {
            chosen: None,
            places: places(&[Path::new("/no/such/place")]),
        };
        let error = search.any().unwrap_err().to_string();
        for part in [
            "initdb, postgres, pg_ctl",
            "$PG_IMPORT_PG_BIN (not set)",
            "a place (/no/such/place)",
            "apt install postgresql",
            "dnf install",
            "brew install",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn a_wrong_choice_is_an_error_even_when_another_place_would_do() {
        let top = tempfile::tempdir().unwrap();
        let (chosen, server) = (top.path().join("chosen"), top.path().join("server"));
        install(&chosen, "15.3", &["postgres"]);
        install(&server, "15.3", &PROGRAMS);
        let search = Search {
            chosen: Some(chosen.clone()),
            places: places(&[&server]),
        };
        let error = search.any().unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "PG_IMPORT_PG_BIN is {}, which lacks initdb, pg_ctl",
                chosen.display()
            )),
            "{error}"
        );
    }

    #[test]
    fn the_version_of_the_cluster_is_looked_for() {
        let top = tempfile::tempdir().unwrap();
        let (new, old) = (top.path().join("new"), top.path().join("old"));
        install(&new, "17beta1", &PROGRAMS);
        install(&old, "15.3", &PROGRAMS);
        let search = Search {
            chosen: None,
            places: places(&[&new, &old]),
        };
        assert_eq!(search.of_version("15", Path::new("/data")).unwrap(), old);
        let error = search.of_version("14", Path::new("/data")).unwrap_err().to_string();
        assert!(
            error.contains("was made by Postgres 14")
                && error.contains("Postgres 17 in")
                && error.contains("Postgres 15 in"),
            "{error}"
        );
    }

    #[test]
    fn the_highest_version_comes_first() {
        let top = tempfile::tempdir().unwrap();
        for name in ["postgresql@9", "postgresql@16", "postgresql@15", "other"] {
            fs::create_dir_all(top.path().join(name).join("bin")).unwrap();
        }
        let found = versions_in(top.path(), "postgresql", "bin");
        let names: Vec<_> = found
            .iter()
            .map(|dir| dir.parent().unwrap().file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["postgresql@16", "postgresql@15", "postgresql@9"]);
    }
}

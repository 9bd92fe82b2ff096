//! Which account runs Postgres's programs: ourselves, or another one when we are root. Knows nothing of what the
//! programs do.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::EmbeddedError;
use super::layout::Layout;
use super::lock::FileLock;

/// Accounts that may run Postgres for root, best first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The account to become, or none to stay who we are.
#[derive(Clone, Debug)]
pub(super) struct RunAs(Option<Account>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

/// What a program that has ended left behind.
pub(super) struct Finished {
    pub(super) success: bool,
    /// Standard error, then standard output.
    pub(super) output: String,
}

impl RunAs {
    /// The owner of the cluster if there is one: the account may have been added or removed since it was made.
    pub(super) fn choose(layout: &Layout) -> Result<Self, EmbeddedError> {
        let us = rustix::process::geteuid();
        let data = layout.data();
        let owner = fs::metadata(&data).ok().map(|found| (found.uid(), found.gid()));
        if !us.is_root() {
            return match owner {
                Some((owner, _)) if owner != us.as_raw() => Err(EmbeddedError::NotYours {
                    path: layout.root().to_owned(),
                    owner,
                }),
                _ => Ok(Self(None)),
            };
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(EmbeddedError::io("read", Path::new("/etc/passwd")))?;
        let account = match owner {
            Some((0, _)) => return Err(EmbeddedError::NotYours { path: data, owner: 0 }),
            Some((uid, gid)) => Account {
                name: name_of(&passwd, uid),
                uid,
                gid,
            },
            None => ACCOUNTS
                .iter()
                .find_map(|name| look_up(&passwd, name))
                .ok_or(EmbeddedError::NoAccount)?,
        };
        check_way(&account, layout.root())?;
        Ok(Self(Some(account)))
    }

    /// Gives a file that we made to the account.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(account) = &self.0 else { return Ok(()) };
        chown(path, Some(account.uid), Some(account.gid)).map_err(EmbeddedError::io("change the owner of", path))
    }

    /// Runs a program to its end, in a process group of its own: a Ctrl+C in the terminal is for us, not for it.
    pub(super) fn run(
        &self,
        command: &mut Command,
        layout: &Layout,
        lock: &FileLock,
    ) -> Result<Finished, EmbeddedError> {
        command
            .current_dir(layout.root())
            .stdin(lock.as_stdin()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("LC_ALL", "C")
            .env_remove("PGDATA")
            .env_remove("PGPORT")
            .process_group(0);
        if let Some(account) = &self.0 {
            // Setting a user id as root also clears the supplementary groups.
            command.gid(account.gid).uid(account.uid);
        }
        let done = command.output().map_err(|source| EmbeddedError::Spawn {
            program: command.get_program().into(),
            account: self.0.as_ref().map(|account| account.name.clone()),
            source,
        })?;
        let output = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stderr),
            String::from_utf8_lossy(&done.stdout)
        );
        Ok(Finished {
            success: done.status.success(),
            output: output.trim().to_owned(),
        })
    }
}

/// Checks that the account can pass through every directory on the way down.
fn check_way(account: &Account, data_dir: &Path) -> Result<(), EmbeddedError> {
    for dir in data_dir.ancestors() {
        let found = fs::metadata(dir).map_err(EmbeddedError::io("read", dir))?;
        let bit = if found.uid() == account.uid {
            0o100
        } else if found.gid() == account.gid {
            0o010
        } else {
            0o001
        };
        if found.mode() & bit == 0 {
            let (dir, data_dir) = (dir.to_owned(), data_dir.to_owned());
            return Err(EmbeddedError::Unreachable {
                account: account.name.clone(),
                dir,
                data_dir,
            });
        }
    }
    Ok(())
}

/// `name:password:uid:gid:…`
fn entries(passwd: &str) -> impl Iterator<Item = Account> + '_ {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid })
    })
}

fn look_up(passwd: &str, name: &str) -> Option<Account> {
    entries(passwd).find(|account| account.name == name && account.uid != 0)
}

fn name_of(passwd: &str, uid: u32) -> String {
    entries(passwd)
        .find(|account| account.uid == uid)
        .map_or_else(|| uid.to_string(), |account| account.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
broken
pg:x:0:0::/:
nobody:x:65534:65533::/nonexistent:
postgres:x:101:104:,,,:/:
";

    #[test]
    fn accounts_are_found_by_name_and_by_id() {
        let postgres = Account {
            name: "postgres".into(),
            uid: 101,
            gid: 104,
        };
        assert_eq!(look_up(PASSWD, "postgres"), Some(postgres));
        assert_eq!(name_of(PASSWD, 65534), "nobody");
        assert_eq!(name_of(PASSWD, 7), "7");
    }

    #[test]
    fn an_account_that_is_root_under_another_name_is_not_taken() {
        assert_eq!(look_up(PASSWD, "pg"), None);
    }

    #[test]
    fn a_closed_directory_on_the_way_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let top = tempfile::tempdir().unwrap();
        let closed = top.path().join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account {
            name: "stranger".into(),
            uid: 4_000_000,
            gid: 4_000_000,
        };
        let error = check_way(&stranger, &inner).unwrap_err().to_string();
        assert!(
            error.contains(&format!("stranger cannot enter {},", closed.display())),
            "{error}"
        );
        assert!(error.contains("PG_IMPORT_DATA_DIR"), "{error}");
    }
}

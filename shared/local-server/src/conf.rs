//! The settings file that the cluster's `postgresql.conf` includes. Knows its syntax, and which settings are not up for
//! choice.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::EmbeddedError;
use super::layout::Layout;

/// The line that `postgresql.conf` gets when the cluster is made: [`Layout::conf`], seen from the data directory.
pub(super) const INCLUDE: &str = "\ninclude '../../server.conf'\n";

/// Where the server listens beside its socket.
pub(super) const HOST: &str = "127.0.0.1";

/// How long a socket's path may be on the strictest system we run on (macOS: 104 bytes with the final NUL).
const SOCKET_PATH_LIMIT: usize = 103;

/// Checks what could break out of its line in the file.
pub(super) fn check(settings: &[(String, String)]) -> Result<(), EmbeddedError> {
    let plain = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
    };
    match settings
        .iter()
        .find(|(name, value)| !plain(name) || value.chars().any(char::is_control))
    {
        Some((name, _)) => Err(EmbeddedError::Setting { name: name.clone() }),
        None => Ok(()),
    }
}

/// Writes the file for a start on this port.
pub(super) fn write(layout: &Layout, settings: &[(String, String)], port: u16) -> Result<(), EmbeddedError> {
    let path = layout.conf();
    let temporary = path.with_extension("conf.new");
    let failed = || EmbeddedError::io("write", &path);
    fs::write(&temporary, text(layout, settings, port)).map_err(failed())?;
    // Read by the account that runs the server, whatever our umask says.
    fs::set_permissions(&temporary, Permissions::from_mode(0o644)).map_err(failed())?;
    fs::rename(&temporary, &path).map_err(failed())
}

/// Ours come last, and so win.
fn text(layout: &Layout, settings: &[(String, String)], port: u16) -> String {
    let mut text = String::from("# Written at each start of the server: changes are lost. Use ALTER SYSTEM instead.\n");
    let port = port.to_string();
    let sockets = socket_directory(layout).unwrap_or_default();
    let ours = [
        ("listen_addresses", HOST),
        ("port", &port),
        ("unix_socket_directories", &sockets),
    ];
    let theirs = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in theirs.chain(ours) {
        let value = value.replace('\\', "\\\\").replace('\'', "''");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} = '{value}'");
    }
    text
}

/// The cluster's own directory, closed to others; or none, where its name does not fit into an address or into the
/// setting's list.
pub(super) fn socket_directory(layout: &Layout) -> Option<String> {
    let dir = layout.cluster().display().to_string();
    let longest_name = "/.s.PGSQL.65535.lock".len();
    if dir.len() + longest_name > SOCKET_PATH_LIMIT || dir.contains([',', ' ', '\'']) {
        return None;
    }
    Some(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_value_is_quoted_and_ours_win() {
        let top = tempfile::tempdir().unwrap();
        let layout = Layout::prepare(top.path()).unwrap();
        let text = text(&layout, &setting("listen_addresses", r"it's \ '*'"), 5499);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], r"listen_addresses = 'it''s \\ ''*'''");
        assert_eq!(lines[2], "listen_addresses = '127.0.0.1'");
        assert_eq!(lines[3], "port = '5499'");
    }

    #[test]
    fn a_name_or_value_that_leaves_its_line_is_refused() {
        assert!(check(&setting("fsync", "off")).is_ok());
        assert!(check(&setting("fsync = off #", "")).is_err());
        assert!(check(&setting("fsync", "off'\nport = '1")).is_err());
    }

    #[test]
    fn a_long_path_has_no_socket() {
        let top = tempfile::tempdir().unwrap();
        let layout = Layout::prepare(&top.path().join("d".repeat(100))).unwrap();
        assert_eq!(socket_directory(&layout), None);
    }
}

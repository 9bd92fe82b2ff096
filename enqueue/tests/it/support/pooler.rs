//! PgBouncer before a world's database.

use std::{fs, path::Path};

use super::{Call, Proc, World, skipped::skipped_unless, until};

const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// Set where its absence is a fault.
const REQUIRED: &str = "PG_IMPORT_REQUIRE_PGBOUNCER";

/// A pooler in transaction mode; ends when it is dropped.
pub struct Pooler {
    process: Proc,
    pub url: String,
}

impl Pooler {
    /// Listens on a socket in the world's directory; `None` where PgBouncer is not installed.
    pub async fn start(world: &World, name: &str, more: &str) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skipped_unless(
                REQUIRED,
                "PgBouncer is not installed (Debian: apt-get install pgbouncer)",
            );
            return None;
        }
        let credentials = world.db.credentials();
        let dir = world.path(name);
        fs::create_dir(&dir).unwrap();
        // It gives up root's rights.
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let config = format!(
            "[databases]\n{0} = host=127.0.0.1 port={1} dbname={0} user={2} password={3}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {4}\n\
             pool_mode = transaction\nauth_type = any\n{more}\n",
            credentials.database,
            credentials.port,
            credentials.user,
            credentials.password,
            dir.display()
        );
        let config = world.file(&format!("{name}.ini"), config);
        let arguments: &[&str] = if rustix::process::geteuid().is_root() {
            &["--user", "nobody", &config]
        } else {
            &[&config]
        };
        let process = Call::new(Path::new(PROGRAM), world.dir(), arguments).start();
        until("the pooler listens", async || {
            process.words().contains("process up").then_some(())
        })
        .await;
        let socket = dir.display().to_string().replace('/', "%2F");
        let url = format!("postgres://{}@{socket}:6432/{}", credentials.user, credentials.database);
        Some(Self { process, url })
    }

    /// What it said.
    pub fn words(&self) -> String {
        self.process.words()
    }
}

//! Two servers of this machine: a primary, and a standby that follows it. The primary dies, the standby is promoted.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
};

use session::config::Credentials;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use testkit::TestDb;

use super::{Call, Proc, World, hosts::Account, open_directory, until};

const USER: &str = "admin";
const DATABASE: &str = "postgres";
const HOST: &str = "127.0.0.1";

const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
max_connections = 100
shared_buffers = '64MB'
wal_retrieve_retry_interval = '200ms'
log_line_prefix = '%m [%p] %a '
";

/// A server that may run.
struct Server {
    port: u16,
    dir: PathBuf,
    process: Option<Proc>,
}

/// The first one is the primary at first.
pub struct Pair {
    servers: [Server; 2],
    account: Account,
    programs: PathBuf,
    dir: TempDir,
}

pub const FIRST: usize = 0;
pub const SECOND: usize = 1;

impl Pair {
    /// A primary with the tables, and a standby that has all of it and is waited for at each durable commit.
    pub async fn start() -> (Self, World) {
        let dir = open_directory();
        let server = |name: &str| Server {
            port: free_port(),
            dir: dir.path().join(name),
            process: None,
        };
        let mut pair = Self {
            servers: [server("first"), server("second")],
            account: Account::find().expect("an account that may run Postgres"),
            programs: local_server::find_bin_dir().expect("the programs of Postgres"),
            dir,
        };
        pair.make_primary();
        pair.run(FIRST).await;
        let world = World::of(TestDb::migrate(pair.credentials(FIRST)).await);
        pair.make_standby();
        pair.run(SECOND).await;
        world.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        world.execute("SELECT pg_reload_conf()").await;
        world.until_some("pg_stat_replication WHERE sync_state = 'sync'").await;
        (pair, world)
    }

    /// A database URL that names the servers in this order.
    pub fn url(&self, order: &[usize]) -> String {
        let places: Vec<String> = order.iter().map(|&server| self.place(server)).collect();
        format!("postgresql://{USER}@{}/{DATABASE}", places.join(","))
    }

    /// Where a server listens.
    pub fn place(&self, server: usize) -> String {
        format!("{HOST}:{}", self.servers[server].port)
    }

    /// Kills a server at once, with all its sessions.
    pub fn kill(&mut self, server: usize) {
        let mut process = self.servers[server].process.take().expect("a server that runs");
        process.kill();
    }

    /// Starts a server, or starts it again.
    pub async fn run(&mut self, server: usize) {
        let Server { port, dir, .. } = &self.servers[server];
        // What a server leaves that was killed: it may name a process that is another one by now.
        drop(fs::remove_file(dir.join("postmaster.pid")));
        let (data, port) = (dir.to_str().unwrap(), port.to_string());
        let sockets = self.dir.path().to_str().unwrap();
        let process = self
            .program("postgres", &["-D", data, "-p", &port, "-k", sockets])
            .start();
        self.servers[server].process = Some(process);
        drop(self.connect(server).await);
    }

    /// Makes the standby the primary, for the tests too.
    pub async fn promote(&self, server: usize, world: &mut World) {
        let mut conn = self.connect(server).await;
        let promoted: bool = sqlx::query_scalar("SELECT pg_promote()")
            .fetch_one(&mut conn)
            .await
            .expect("to promote the standby");
        assert!(promoted);
        world.db = TestDb::migrate(self.credentials(server)).await;
    }

    /// A session with a server, once it accepts any.
    pub async fn connect(&self, server: usize) -> PgConnection {
        let options = self.credentials(server).connect_options();
        until("the server accepts sessions", async || {
            PgConnection::connect_with(&options).await.ok()
        })
        .await
    }

    fn credentials(&self, server: usize) -> Credentials {
        Credentials {
            database: DATABASE.to_owned(),
            password: String::new(),
            user: USER.to_owned(),
            host: HOST.to_owned(),
            port: self.servers[server].port,
        }
    }

    fn make_primary(&self) {
        let dir = self.make_directory(FIRST);
        let arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", USER];
        let all = [&["-D", &dir], &arguments[..]].concat();
        self.program("initdb", &all).run().exits(0);
        let path = self.servers[FIRST].dir.join("postgresql.conf");
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, before + SETTINGS).unwrap();
    }

    fn make_standby(&self) {
        let dir = self.make_directory(SECOND);
        let port = self.servers[FIRST].port.to_string();
        let arguments = [
            "-h",
            HOST,
            "-p",
            &port,
            "-U",
            USER,
            "-D",
            &dir,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
        ];
        self.program("pg_basebackup", &arguments).run().exits(0);
    }

    fn make_directory(&self, server: usize) -> String {
        let dir = &self.servers[server].dir;
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, Permissions::from_mode(0o700)).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(self.dir.path(), Some(self.account.uid), Some(self.account.gid)).unwrap();
            chown(dir, Some(self.account.uid), Some(self.account.gid)).unwrap();
        }
        dir.to_str().unwrap().to_owned()
    }

    /// One of Postgres's programs, which do not run as root.
    fn program(&self, program: &str, arguments: &[&str]) -> Call {
        let call = Call::new(&self.programs.join(program), self.dir.path(), arguments).env("LC_ALL", "C");
        if rustix::process::geteuid().is_root() {
            self.account.runs(call)
        } else {
            call
        }
    }
}

/// A port on which nobody listens.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((HOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

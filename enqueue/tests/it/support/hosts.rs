//! Hosts on a network, as namespaces of this machine: links that are cut and heal, machines that lose their power and come back.
//!
//! Each host has a namespace of its own, and so has the switch that joins them: this machine's own network is left as it is.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use session::config::Credentials;
use sqlx::{Connection as _, PgConnection};
use testkit::TestDb;

use super::{Call, DEADLINE, LOOK, Proc, open_directory, skipped::skipped, until};

/// Accounts that may run Postgres, which does not run as root; best first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
const USER: &str = "admin";
const DATABASE: &str = "postgres";
const PORT: u16 = 5432;
const SWITCH: &str = "switch";

/// What a server is set to. Processes are killed here; what they gave to the system, it keeps.
const SETTINGS: &str = "
listen_addresses = '*'
port = 5432
fsync = off
max_connections = 200
shared_buffers = '64MB'
track_commit_timestamp = on
wal_sender_timeout = '5s'
wal_receiver_timeout = '5s'
wal_retrieve_retry_interval = '1s'
log_line_prefix = '%m [%p] %a '
";

/// Who may connect to a server: any host of the network.
const RULES: &str = "
host all all 10.77.0.0/24 trust
host replication all 10.77.0.0/24 trust
";

/// Ways to make a link slow and lossy, best first.
const DISTURBANCES: [(&str, &str); 2] = [
    ("200 ms there and back and a loss of 1 %", "netem delay 100ms loss 1%"),
    (
        "256 kbit/s and a loss of what is too much",
        "tbf rate 256kbit burst 2kb limit 6kb",
    ),
];

/// Waits until this process lets go of its standard input, by whatever end, and removes what there was.
const CLEANER: &str = r#"
read -r _
for namespace in $(ip netns list | cut -d ' ' -f 1 | grep "^$1-"); do
    while pids=$(ip netns pids "$namespace") && [ -n "$pids" ]; do
        kill -9 $pids
        sleep 0.1
    done
    ip netns delete "$namespace"
done
rm -rf "$2"
"#;

/// The account that runs Postgres.
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    pub fn find() -> Option<Self> {
        ACCOUNTS.iter().find_map(|&name| {
            let id = |which| run("id", &[which, name]).ok()?.trim().parse().ok();
            let (uid, gid) = (id("-u")?, id("-g")?);
            Some(Self { uid, gid })
        })
    }

    /// Has a program run by this account.
    pub fn runs(&self, call: Call) -> Call {
        let (uid, gid) = (format!("--reuid={}", self.uid), format!("--regid={}", self.gid));
        call.through("setpriv", &[&uid, &gid, "--clear-groups"])
    }
}

/// Some hosts that reach each other, and nothing else. Gone when it is dropped, with all that runs there, and also when this process is
/// killed.
pub struct Network {
    /// What the names of its namespaces begin with.
    prefix: String,
    hosts: &'static [&'static str],
    /// What the servers have, each in a directory with its host's name; `database` is that of the one which is in use.
    dir: PathBuf,
    account: Account,
    programs: PathBuf,
    cleaner: Child,
}

impl Network {
    /// Says why and returns nothing where hosts cannot be made.
    pub fn new(hosts: &'static [&'static str]) -> Option<Self> {
        match Self::make(hosts) {
            Ok(network) => Some(network),
            Err(reason) => {
                skipped(&format!("no hosts can be made of network namespaces: {reason}"));
                None
            }
        }
    }

    fn make(hosts: &'static [&'static str]) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("that takes root".to_owned());
        }
        run("ip", &["-V"])?;
        run("setpriv", &["--version"])?;
        let account = Account::find().ok_or("there is no account to run Postgres")?;
        let programs = local_server::find_bin_dir().map_err(|error| error.to_string())?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("pg_import-{}-{number}", std::process::id());
        let dir = open_directory().keep();
        let cleaner = Command::new("/bin/sh")
            .args(["-c", CLEANER, "cleaner", &prefix])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What a terminal says to us is not for it.
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        let network = Self {
            prefix,
            hosts,
            dir,
            account,
            programs,
            cleaner,
        };
        let switch = network.namespace(SWITCH);
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add bridge type bridge"))?;
        ip(&format!("-n {switch} link set dev bridge up"))?;
        for host in hosts {
            network.plug(host)?;
        }
        Ok(network)
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Makes a host, and a link from it to the switch.
    fn plug(&self, host: &str) -> Result<(), String> {
        let (namespace, switch) = (self.namespace(host), self.namespace(SWITCH));
        let address = self.address(host);
        let last = address.rsplit('.').next().unwrap();
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("-n {namespace} link set dev lo up"))?;
        // A machine that comes back has the same card.
        ip(&format!(
            "-n {namespace} link add eth0 address 02:00:00:00:00:{last} type veth peer name {host} netns {switch}"
        ))?;
        ip(&format!("-n {namespace} address add {address}/24 dev eth0"))?;
        ip(&format!("-n {namespace} link set dev eth0 up"))?;
        ip(&format!("-n {switch} link set dev {host} master bridge up"))
    }

    /// Its address on the network.
    pub fn address(&self, host: &str) -> String {
        let place = self.hosts.iter().position(|&name| name == host).expect("a host");
        format!("10.77.0.{}", place + 10)
    }

    /// Has a program run on a host.
    pub fn on(&self, host: &str, call: Call) -> Call {
        call.through("ip", &["netns", "exec", &self.namespace(host)])
    }

    /// Pulls a host's cable out of the switch.
    pub fn cut(&self, host: &str) {
        self.switch(&format!("link set dev {host} down"));
    }

    pub fn heal(&self, host: &str) {
        self.switch(&format!("link set dev {host} up"));
    }

    fn switch(&self, words: &str) {
        ip(&format!("-n {} {words}", self.namespace(SWITCH))).unwrap();
    }

    /// Makes a host's link slow and lossy in both directions, in the first way that the kernel knows.
    pub fn disturb(&self, host: &str) -> bool {
        let ends = [(self.namespace(host), "eth0"), (self.namespace(SWITCH), host)];
        for (what, discipline) in DISTURBANCES {
            let disturbed = ends.iter().try_for_each(|(namespace, device)| {
                ip(&format!(
                    "netns exec {namespace} tc qdisc add dev {device} root {discipline}"
                ))
            });
            match disturbed {
                Ok(()) => {
                    println!("a link with {what}");
                    return true;
                }
                Err(reason) => skipped(&format!("a link with {what}: {reason}")),
            }
        }
        false
    }

    /// Packets that were lost on a disturbed link.
    pub fn lost(&self, host: &str) -> String {
        let ends = [(self.namespace(host), "eth0"), (self.namespace(SWITCH), host)];
        let lost = ends.map(|(namespace, device)| {
            let words = ["netns", "exec", &namespace, "tc", "-s", "qdisc", "show", "dev", device];
            let text = run("ip", &words).unwrap();
            let (_, rest) = text.split_once("dropped ").expect("statistics");
            rest.split(',').next().expect("a number").to_owned()
        });
        format!("{} of its packets and {} of those for it were lost", lost[0], lost[1])
    }

    /// Takes a host's power away: nobody hears a last word of it, and nothing of its connections is left.
    pub fn power_off(&self, host: &str) {
        self.cut(host);
        let namespace = self.namespace(host);
        let begin = Instant::now();
        loop {
            let pids = run("ip", &["netns", "pids", &namespace]).unwrap();
            let pids: Vec<_> = pids.lines().filter_map(|pid| pid.trim().parse().ok()).collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                // An error means that it ended by itself: each process of a server does when its first one is gone.
                let _ = kill_process(Pid::from_raw(pid).expect("a process id"), Signal::KILL);
            }
            assert!(begin.elapsed() < DEADLINE, "a process outlives SIGKILL");
            thread::sleep(LOOK);
        }
        self.switch(&format!("link delete dev {host}"));
        ip(&format!("netns delete {namespace}")).unwrap();
    }

    /// The host is back, with none of its programs.
    pub fn power_on(&self, host: &str) {
        self.plug(host).unwrap();
    }

    // Servers ----------------------------------------------------------------------------------------------------

    /// Makes a database cluster on a host, and has it be the one that is in use.
    pub fn make_cluster(&self, host: &str) {
        let data = self.make_directory(host).join("data");
        let arguments = [
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--username",
            USER,
        ];
        let all = [&["-D", data.to_str().unwrap()], &arguments[..]].concat();
        self.of_postgres(host, "initdb", &all).run().exits(0);
        for (name, text) in [("postgresql.conf", SETTINGS), ("pg_hba.conf", RULES)] {
            let path = data.join(name);
            let before = fs::read_to_string(&path).unwrap();
            fs::write(&path, before + text).unwrap();
        }
        self.use_server(host);
    }

    /// Makes a standby of a server that runs on another host.
    pub fn make_standby(&self, host: &str, of: &str) {
        let data = self.make_directory(host).join("data");
        let (data, primary) = (data.to_str().unwrap(), self.address(of));
        let arguments = [
            "-h",
            &primary,
            "-U",
            USER,
            "-D",
            data,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
        ];
        self.of_postgres(host, "pg_basebackup", &arguments).run().exits(0);
    }

    /// Starts a host's server.
    pub fn start_server(&self, host: &str) -> Proc {
        let dir = self.dir.join(host);
        let data = dir.join("data");
        let arguments = ["-D", data.to_str().unwrap(), "-k", dir.to_str().unwrap()];
        self.of_postgres(host, "postgres", &arguments).start()
    }

    /// Has tests speak to this host's server: through its socket in the file system, which no cut link concerns.
    pub fn use_server(&self, host: &str) {
        let link = self.dir.join("link");
        symlink(host, &link).unwrap();
        fs::rename(&link, self.dir.join("database")).unwrap();
    }

    /// The database, once its server is there, for tests.
    pub async fn database(&self) -> TestDb {
        let credentials = self.credentials("database");
        self.until_accepting("database").await;
        TestDb::migrate(credentials).await
    }

    /// A session with the server of a host that is not the one in use.
    pub async fn until_accepting(&self, host: &str) -> PgConnection {
        let options = self.credentials(host).connect_options();
        until("the server accepts sessions", async || {
            PgConnection::connect_with(&options).await.ok()
        })
        .await
    }

    fn credentials(&self, host: &str) -> Credentials {
        Credentials {
            database: DATABASE.to_owned(),
            password: String::new(),
            user: USER.to_owned(),
            host: self.dir.join(host).to_str().unwrap().to_owned(),
            port: PORT,
        }
    }

    /// The database on a host, for programs on other ones.
    pub fn url(&self, host: &str) -> String {
        format!("postgres://{USER}@{}:{PORT}/{DATABASE}", self.address(host))
    }

    /// Gives a host the address of another one, which is gone, and tells everybody: what a failover does.
    pub fn move_address(&self, from: &str, to: &str) {
        let address = self.address(from);
        ip(&format!("-n {} address add {address}/24 dev eth0", self.namespace(to))).unwrap();
        for host in self.hosts.iter().filter(|&&host| host != from) {
            ip(&format!("-n {} neighbour flush dev eth0", self.namespace(host))).unwrap();
        }
    }

    fn make_directory(&self, host: &str) -> PathBuf {
        let dir = self.dir.join(host);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        chown(&dir, Some(self.account.uid), Some(self.account.gid)).unwrap();
        dir
    }

    /// One of Postgres's programs, on a host and by its account.
    fn of_postgres(&self, host: &str, program: &str, arguments: &[&str]) -> Call {
        let call = Call::new(&self.programs.join(program), &self.dir, arguments).env("LC_ALL", "C");
        self.on(host, self.account.runs(call))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        drop(self.cleaner.wait());
    }
}

fn ip(words: &str) -> Result<(), String> {
    run("ip", &words.split_whitespace().collect::<Vec<_>>()).map(drop)
}

/// What a program prints.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} {}: {}", arguments.join(" "), words.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

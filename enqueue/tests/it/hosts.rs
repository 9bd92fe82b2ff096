//! Several machines: the database, a submitter and workers on hosts of their own, whose links are cut and whose power is taken away.
//!
//! The hosts are network namespaces, which takes root; elsewhere these tests are skipped. What the times were is printed
//! (`--nocapture`), and never asserted.

use std::time::Duration;

use crate::support::{Call, CsvFile, Held, Proc, World, hosts::Network, until};

const HOSTS: [&str; 5] = ["db", "submit", "w1", "w2", "w3"];
const FAILOVER_HOSTS: [&str; 5] = ["db", "db2", "submit", "w1", "w2"];
/// The host of the database.
const DB: &str = "db";
/// The standby's.
const DB2: &str = "db2";

/// A database on a host, and other hosts that know its address.
struct Hosts {
    world: World,
    server: Proc,
    network: Network,
}

impl Hosts {
    /// `None` where there can be no hosts.
    async fn start(hosts: &'static [&'static str]) -> Option<Self> {
        let network = Network::new(hosts)?;
        network.make_cluster(DB);
        let server = network.start_server(DB);
        let world = World::of(network.database().await);
        Some(Self { world, server, network })
    }

    fn worker(&self, host: &str, arguments: &[&str]) -> Call {
        let call = self.world.worker(arguments);
        self.network.on(host, call.env("DATABASE_URL", self.network.url(DB)))
    }

    fn enqueue(&self, arguments: &[&str]) -> Call {
        let call = self.world.enqueue(arguments);
        self.network
            .on("submit", call.env("DATABASE_URL", self.network.url(DB)))
    }

    /// Submits a file, in chunks of so many records.
    async fn submit(&self, file: &CsvFile, chunk_rows: &str) -> i64 {
        let finished = self
            .enqueue(&["-i", file.path(), "--chunk-rows", chunk_rows])
            .start()
            .finished()
            .await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.id()
    }

    /// Cuts a host off, and returns when that was, by the database's clock.
    async fn cut(&self, host: &str) -> String {
        let now = self.now().await;
        self.network.cut(host);
        now
    }

    async fn now(&self) -> String {
        until("the server tells the time", async || {
            self.world.ask("SELECT clock_timestamp()").await
        })
        .await
    }

    /// Seconds from an instant to another one, which `sql` finds.
    async fn seconds(&self, since: &str, sql: &str) -> String {
        let sql = format!("SELECT round(extract(epoch FROM ({sql}) - timestamptz '{since}'), 1)");
        self.world.ask(&sql).await.expect("some seconds")
    }

    /// Waits until the database hears a worker again, and returns how long that took since an instant: under its name of before where the
    /// others did not notice its silence, under another one where they did.
    async fn until_heard(&self, worker: &Proc, since: &str) -> String {
        self.world
            .until_some(&format!(
                "pgimport.worker WHERE pid = {} AND last_seen > timestamptz '{since}'",
                worker.pid()
            ))
            .await;
        self.seconds(since, "clock_timestamp()").await
    }

    /// How long it took since an instant until the last of these chunks was committed.
    async fn until_committed(&self, chunks: &[String], since: &str) -> String {
        let last = format!(
            "SELECT max(pg_xact_commit_timestamp(xmin)) FROM pgimport.import_chunk WHERE ordinal IN ({})",
            chunks.join(", ")
        );
        self.seconds(since, &last).await
    }

    /// The chunks that a worker has begun and not ended.
    async fn held_by(&self, name: &str) -> Vec<String> {
        let sql = format!(
            "SELECT ordinal::text FROM pgimport.import_chunk WHERE worker = '{name}' AND state = 'pending' ORDER BY ordinal"
        );
        self.world.texts(&sql).await
    }

    /// Each record of the files is there once, the imports know of it, and nothing is left to do.
    async fn assert_exact(&self, imports: &[i64], files: &[&CsvFile]) {
        for &import in imports {
            self.world.assert_settled(import, "loaded").await;
        }
        self.world.assert_loaded_once(files).await;
        self.world.assert_no_job_stranded().await;
        for import in imports {
            let verified = self.enqueue(&["verify", &import.to_string()]).start().finished().await;
            assert_eq!(verified.code, Some(0), "{verified:?}");
        }
    }

    /// The first of the database's hosts is gone, and the other one has its address: still a standby.
    async fn fail_over(&self) -> String {
        let gone = self.now().await;
        self.network.power_off(DB);
        self.network.move_address(DB, DB2);
        gone
    }

    async fn promote(&self) {
        let mut conn = self.network.until_accepting(DB2).await;
        let promoted: bool = sqlx::query_scalar("SELECT pg_promote()")
            .fetch_one(&mut conn)
            .await
            .expect("to promote the standby");
        assert!(promoted);
        self.network.use_server(DB2);
    }

    /// Starts a standby on the other host.
    async fn start_standby(&self) -> Proc {
        self.network.make_standby(DB2, DB);
        let standby = self.network.start_server(DB2);
        self.world
            .until_some("pg_stat_replication WHERE state = 'streaming'")
            .await;
        standby
    }

    /// From here on nothing is acknowledged that the standby does not have.
    async fn acknowledge_synchronously(&self) {
        self.world
            .execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await;
        self.world.execute("SELECT pg_reload_conf()").await;
        self.world
            .until_some("pg_stat_replication WHERE sync_state = 'sync'")
            .await;
    }

    /// Waits until the standby has all that was written so far.
    async fn until_replicated(&self) {
        let end = self.world.ask("SELECT pg_current_wal_lsn()").await.expect("a place");
        self.world
            .until_some(&format!("pg_stat_replication WHERE replay_lsn >= '{end}'"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chunk_of_a_worker_that_is_cut_off_in_its_middle_is_loaded_by_another() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let file = world.csv_file(20_000).await;
    // Three chunks, and then one with its rows in the table and not committed.
    let mut cut_off = hosts
        .worker("w1", &["--concurrency", "1"])
        .env("FAILPOINTS", "before-commit=3*off->pause")
        .start();
    let name = world.until_working(&cut_off).await;
    let import = hosts.submit(&file, "500").await;
    assert_eq!(world.count("pgimport.import_chunk").await, 40);
    world
        .until_some(&format!(
            "pg_stat_activity WHERE application_name = '{name}' AND state = 'idle in transaction'
                 AND query LIKE '%loaded_count = $3%' AND state_change < now() - interval '0.2 s'"
        ))
        .await;
    let _others = ["w2", "w3"].map(|host| hosts.worker(host, &["--concurrency", "1"]).start());
    let by_others = format!("pgimport.import_chunk WHERE state = 'loaded' AND worker <> '{name}'");
    world.until_some(&by_others).await;
    let held = hosts.held_by(&name).await;
    assert!(!held.is_empty());
    let cut = hosts.cut("w1").await;
    world.until_state(import, "loaded").await;
    assert_eq!(world.count(&by_others).await, 37);
    println!(
        "a worker cut off in the middle of a chunk: others had loaded what it had begun after {} s",
        hosts.until_committed(&held, &cut).await
    );
    // The server does not wait for a client that is silent.
    world
        .until_none(&format!("pg_stat_activity WHERE application_name = '{name}'"))
        .await;
    hosts.network.heal("w1");
    let healed = hosts.now().await;
    println!(
        "a worker cut off in the middle of a chunk: it was back {} s after its link, although one of its threads hangs",
        hosts.until_heard(&cut_off, &healed).await
    );
    world.assert_loaded_once(&[&file]).await;
    cut_off.kill();
    hosts.assert_exact(&[import], &[&file]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_worker_that_was_cut_off_for_long_comes_back_and_works() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let file = world.csv_file(40_000).await;
    let workers = ["w1", "w2", "w3"].map(|host| hosts.worker(host, &["--concurrency", "2"]).start());
    for worker in &workers {
        world.until_working(worker).await;
    }
    let [cut_off, second, third] = workers;
    let name = world.until_working(&cut_off).await;
    // All of them stop in the middle of their chunks for a moment, so that none of them is between two.
    let lock = Held::take(world, "LOCK TABLE pgimport.import_registry IN SHARE MODE").await;
    let import = hosts.submit(&file, "1000").await;
    world
        .until_some(&format!(
            "pg_stat_activity WHERE application_name = '{name}' AND wait_event_type = 'Lock' AND state = 'active'"
        ))
        .await;
    let held = hosts.held_by(&name).await;
    let cut = hosts.cut("w1").await;
    lock.release().await;
    world.until_state(import, "loaded").await;
    world
        .until_none(&format!("pgimport.worker WHERE name = '{name}'"))
        .await;
    println!(
        "a worker cut off: others had loaded the {} chunks that it had begun after {} s",
        held.len(),
        hosts.until_committed(&held, &cut).await
    );
    hosts.assert_exact(&[import], &[&file]).await;

    hosts.network.heal("w1");
    let healed = hosts.now().await;
    println!(
        "a worker cut off: it was back {} s after its link",
        hosts.until_heard(&cut_off, &healed).await
    );
    world.assert_loaded_once(&[&file]).await;
    // What is loaded from here on is loaded by it.
    for other in [second, third] {
        other.terminate();
        assert_eq!(other.finished().await.code, Some(0));
    }
    let more = world.csv_file(5_000).await;
    let next = hosts.submit(&more, "500").await;
    hosts.assert_exact(&[import, next], &[&file, &more]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_counts_once() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let file = world.csv_file(4_000).await;
    // Each commit waits for a lock.
    world
        .execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON public.sale_order DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        .await;
    let import = hosts.submit(&file, "500").await;
    let lock = Held::take(world, "SELECT pg_advisory_xact_lock(1)").await;
    let cut_off = hosts.worker("w1", &["--concurrency", "1"]).start();
    let name = world.until_working(&cut_off).await;
    world
        .until_some(&format!(
            "pg_stat_activity WHERE application_name = '{name}' AND wait_event = 'advisory' AND query = 'COMMIT'"
        ))
        .await;
    let held = hosts.held_by(&name).await;
    let cut = hosts.cut("w1").await;
    lock.release().await;
    let by_it = format!("pgimport.import_chunk WHERE state = 'loaded' AND worker = '{name}'");
    world.until_some(&by_it).await;
    let _others = ["w2", "w3"].map(|host| hosts.worker(host, &["--concurrency", "1"]).start());
    world.until_state(import, "loaded").await;
    // The others loaded all but that one.
    assert_eq!(world.count(&by_it).await, 1);
    println!(
        "a worker cut off in its commit: the {} chunks that it had begun were loaded, one of them by it, after {} s",
        held.len(),
        hosts.until_committed(&held, &cut).await
    );
    hosts.network.heal("w1");
    let healed = hosts.now().await;
    println!(
        "a worker cut off in its commit: it was back {} s after its link",
        hosts.until_heard(&cut_off, &healed).await
    );
    hosts.assert_exact(&[import], &[&file]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_link_that_heals_about_when_a_worker_counts_as_dead_does_no_harm() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let workers = ["w1", "w2"].map(|host| hosts.worker(host, &["--concurrency", "2"]).start());
    for worker in &workers {
        world.until_working(worker).await;
    }
    let [flaky, other] = workers;
    let (mut imports, mut files) = (Vec::new(), Vec::new());
    for milliseconds in [4000, 4400, 4800, 5200] {
        let file = world.csv_file(20_000).await;
        imports.push(hosts.submit(&file, "500").await);
        files.push(file);
        hosts.network.cut("w1");
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        hosts.network.heal("w1");
        let healed = hosts.now().await;
        println!(
            "a worker cut off for {milliseconds} ms: the database heard it {} s after its link was back",
            hosts.until_heard(&flaky, &healed).await
        );
    }
    for &import in &imports {
        world.until_state(import, "loaded").await;
    }
    other.terminate();
    assert_eq!(other.finished().await.code, Some(0));
    let file = world.csv_file(5_000).await;
    imports.push(hosts.submit(&file, "500").await);
    files.push(file);
    hosts.assert_exact(&imports, &files.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_worker_that_starts_while_the_databases_host_is_lost_works_once_it_is_back() {
    let Some(mut hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let held = Held::take(&hosts.world, "LOCK TABLE pgimport._sqlx_migrations").await;
    let worker = hosts.worker("w1", &[]).start();
    hosts
        .world
        .until_some("pg_stat_activity WHERE application_name LIKE 'pg_import-worker%' AND wait_event_type = 'Lock'")
        .await;
    // Its question has arrived, and was acknowledged too: nobody asks again, and nobody is left who knows of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    hosts.network.power_off(DB);
    drop(held);
    hosts.network.power_on(DB);
    hosts.server = hosts.network.start_server(DB);
    drop(hosts.network.until_accepting(DB).await);
    let back = hosts.now().await;
    println!(
        "a worker that started while the database's host was lost: it worked after {} s",
        hosts.until_heard(&worker, &back).await
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_submitter_that_was_cut_off_for_longer_than_its_lease_goes_on() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let file = world.csv_file(40_000).await;
    let _worker = hosts.worker("w1", &["--concurrency", "1"]).start();
    let command = [
        "-i",
        file.path(),
        "--chunk-rows",
        "200",
        "--max-pending",
        "64K",
        "--wait",
    ];
    let submitter = hosts.enqueue(&command).start();
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    let import = world.latest_import().await;
    hosts.network.cut("submit");
    world
        .until_some("pgimport.import WHERE state = 'splitting' AND lease_until < now()")
        .await;
    // What is stored is loaded, and there is nothing else to do.
    world.until_none("pgimport.import_chunk WHERE state = 'pending'").await;
    assert!(world.count("public.sale_order").await < file.rows);
    hosts.network.heal("submit");
    let healed = hosts.now().await;
    let stored = world.count("pgimport.import_chunk").await;
    world
        .until_some(&format!("pgimport.import_chunk HAVING count(*) > {stored}"))
        .await;
    println!(
        "a submitter cut off: it went on {} s after its link was back",
        hosts.seconds(&healed, "clock_timestamp()").await
    );
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.id(), import);
    hosts.assert_exact(&[import], &[&file]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_submitters_outlive_the_loss_of_the_databases_host() {
    let Some(mut hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let file = hosts.world.csv_file(60_000).await;
    let workers = ["w1", "w2", "w3"].map(|host| hosts.worker(host, &["--concurrency", "2"]).start());
    let command = [
        "-i",
        file.path(),
        "--chunk-rows",
        "200",
        "--max-pending",
        "64K",
        "--wait",
    ];
    let submitter = hosts.enqueue(&command).start();
    hosts
        .world
        .until_some("pgimport.import_chunk WHERE state = 'loaded'")
        .await;
    let gone = hosts.now().await;
    hosts.network.power_off(DB);
    // Nobody says to the others that their connections are no more, until they ask.
    tokio::time::sleep(Duration::from_secs(3)).await;
    hosts.network.power_on(DB);
    hosts.server = hosts.network.start_server(DB);
    drop(hosts.network.until_accepting(DB).await);
    let world = &hosts.world;
    let back = world.ask("SELECT pg_postmaster_start_time()").await.expect("a time");
    println!(
        "the database's host lost its power for {} s",
        hosts.seconds(&gone, "pg_postmaster_start_time()").await
    );
    let after = format!("pgimport.import_chunk WHERE state = 'loaded' AND finished_at > '{back}'");
    world.until_some(&after).await;
    println!(
        "the database's host lost its power: the first chunk was loaded {} s after its start",
        hosts
            .seconds(
                &back,
                &format!("SELECT min(pg_xact_commit_timestamp(xmin)) FROM {after}")
            )
            .await
    );
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    println!(
        "the database's host lost its power: all was loaded {} s after its start",
        hosts.seconds(&back, "SELECT max(ended_at) FROM pgimport.import").await
    );
    hosts.assert_exact(&[finished.id()], &[&file]).await;
    for mut worker in workers {
        assert!(worker.ended().is_none(), "{}", worker.words());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn workers_and_submitters_outlive_a_database_that_nobody_reaches() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let file = world.csv_file(60_000).await;
    let workers = ["w1", "w2", "w3"].map(|host| hosts.worker(host, &["--concurrency", "2"]).start());
    let command = [
        "-i",
        file.path(),
        "--chunk-rows",
        "200",
        "--max-pending",
        "64K",
        "--wait",
    ];
    let submitter = hosts.enqueue(&command).start();
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    hosts.network.cut(DB);
    // Longer than a worker may be silent, a submitter's lease, and an idle transaction; the server goes on, and knows of nothing.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = world.count("pgimport.import_chunk WHERE state = 'loaded'").await;
    hosts.network.heal(DB);
    let healed = hosts.now().await;
    world
        .until_some(&format!(
            "pgimport.import_chunk WHERE state = 'loaded' HAVING count(*) > {before}"
        ))
        .await;
    let after = format!("SELECT min(finished_at) FROM pgimport.import_chunk WHERE finished_at > '{healed}'");
    println!(
        "a database cut off for 15 s: the next chunk was loaded {} s after its link was back",
        hosts.seconds(&healed, &after).await
    );
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    println!(
        "a database cut off for 15 s: all was loaded {} s after its link was back",
        hosts
            .seconds(&healed, "SELECT max(ended_at) FROM pgimport.import")
            .await
    );
    hosts.assert_exact(&[finished.id()], &[&file]).await;
    for mut worker in workers {
        assert!(worker.ended().is_none(), "{}", worker.words());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_worker_on_a_slow_and_lossy_link_does_its_part() {
    let Some(hosts) = Hosts::start(&HOSTS).await else {
        return;
    };
    if !hosts.network.disturb("w1") {
        return;
    }
    let world = &hosts.world;
    let file = world.csv_file(20_000).await;
    let mut slow = hosts.worker("w1", &["--concurrency", "2"]).start();
    let import = hosts.submit(&file, "500").await;
    world.until_some("pgimport.import_chunk WHERE state = 'loaded'").await;
    let _others = ["w2", "w3"].map(|host| hosts.worker(host, &["--concurrency", "2"]).start());
    hosts.assert_exact(&[import], &[&file]).await;
    println!(
        "a worker on a slow and lossy link loaded {} of 40 chunks; {}",
        world
            .count(&format!("pgimport.import_chunk WHERE worker LIKE '%:{}:%'", slow.pid()))
            .await,
        hosts.network.lost("w1")
    );
    assert!(slow.ended().is_none(), "{}", slow.words());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(hosts) = Hosts::start(&FAILOVER_HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let (file, other) = (world.csv_file(20_000).await, world.csv_file(40_000).await);
    let _standby = hosts.start_standby().await;
    hosts.acknowledge_synchronously().await;

    // One import was acknowledged, another one is being submitted.
    let acknowledged = hosts.submit(&file, "200").await;
    let workers = ["w1", "w2"].map(|host| hosts.worker(host, &["--concurrency", "1"]).start());
    let command = [
        "-i",
        other.path(),
        "--chunk-rows",
        "200",
        "--max-pending",
        "64K",
        "--wait",
    ];
    let submitter = hosts.enqueue(&command).start();
    for import in ["1", "2"] {
        let loaded = format!("pgimport.import_chunk WHERE state = 'loaded' AND import_id = {import}");
        world.until_some(&loaded).await;
    }
    let gone = hosts.fail_over().await;
    // It does not say yet that it is the one.
    for worker in &workers {
        worker.until_says("standby").await;
    }
    hosts.promote().await;
    let promoted = hosts.now().await;
    let after = format!("pgimport.import_chunk WHERE state = 'loaded' AND finished_at > '{promoted}'");
    world.until_some(&after).await;
    let first = format!("SELECT min(finished_at) FROM {after}");
    println!(
        "a failover: the first chunk was loaded {} s after the primary was gone, {} s after the standby was promoted",
        hosts.seconds(&gone, &first).await,
        hosts.seconds(&promoted, &first).await
    );
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    hosts
        .assert_exact(&[acknowledged, finished.id()], &[&file, &other])
        .await;
    for mut worker in workers {
        assert!(worker.ended().is_none(), "{}", worker.words());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_to_a_standby_that_lagged_lost_is_told_and_can_be_submitted_again() {
    let Some(hosts) = Hosts::start(&FAILOVER_HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let files = [
        world.csv_file(5_000).await,
        world.csv_file(5_000).await,
        world.csv_file(60_000).await,
    ];
    let [kept, lost, halved] = &files;
    let _standby = hosts.start_standby().await;
    let kept_id = hosts.submit(kept, "200").await;
    let drained = hosts.worker("w1", &["--drain"]).start().finished().await;
    assert_eq!(drained.code, Some(0), "{drained:?}");
    // It waits after its first batch, for nobody works.
    let command = ["-i", halved.path(), "--chunk-rows", "200", "--max-pending", "64K"];
    let submitter = hosts.enqueue(&command).start();
    submitter.until_says("NO WORKER SERVES THE QUEUE 'default'").await;
    let halved_id = world.latest_import().await;
    hosts.until_replicated().await;

    // From here on the standby hears nothing.
    hosts.network.cut(DB2);
    let chunks_of = |id| format!("pgimport.import_chunk WHERE import_id = {id}");
    let replicated = world.count(&chunks_of(halved_id)).await;
    let lost_id = hosts.submit(lost, "200").await;
    let worker = hosts.worker("w1", &["--concurrency", "1"]).start();
    world.until_state(lost_id, "loaded").await;
    world
        .until_some(&format!("{} HAVING count(*) > {replicated}", chunks_of(halved_id)))
        .await;
    assert_eq!(world.state(halved_id).await, "splitting");
    hosts.fail_over().await;
    hosts.network.heal(DB2);
    hosts.promote().await;

    // The submitter that is still there finds that what it stored is not there any more, and says what to do.
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let finished = finished.says("failed over to a server that lagged behind; cancel the import and submit again");
    assert_eq!(finished.id(), halved_id);
    let again = hosts
        .enqueue(&["cancel", &halved_id.to_string(), "--wait"])
        .start()
        .finished()
        .await;
    assert_eq!(again.code, Some(0), "{again:?}");
    // Of the import that was acknowledged and lost, nothing is left, and nobody pretends otherwise.
    let verified = hosts
        .enqueue(&["verify", &lost_id.to_string()])
        .start()
        .finished()
        .await;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    verified.says(&format!("there is no import {lost_id}"));
    hosts.assert_exact(&[kept_id], &[kept]).await;

    let anew = [hosts.submit(lost, "200").await, hosts.submit(halved, "200").await];
    println!("a failover to a standby that lagged: imports {lost_id} and {halved_id} were submitted again as {anew:?}");
    hosts
        .assert_exact(&[kept_id, anew[0], anew[1]], &[kept, lost, halved])
        .await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: just test-long"]
async fn a_submission_waits_for_a_synchronous_standby_that_is_cut_off() {
    let Some(hosts) = Hosts::start(&FAILOVER_HOSTS).await else {
        return;
    };
    let world = &hosts.world;
    let file = world.csv_file(5_000).await;
    let _standby = hosts.start_standby().await;
    hosts.acknowledge_synchronously().await;
    let worker = hosts.worker("w1", &["--concurrency", "1"]).start();
    world.until_working(&worker).await;
    let cut = hosts.cut(DB2).await;
    // Its commit waits for an answer of the standby, and it for an answer to its commit, until it tries again.
    let submitter = hosts
        .enqueue(&["-i", file.path(), "--chunk-rows", "200", "--wait"])
        .start();
    submitter.until_says("trying again").await;
    println!(
        "a synchronous standby cut off: a submission tried again after {} s",
        hosts.seconds(&cut, "clock_timestamp()").await
    );
    assert_eq!(submitter.stdout(), "");
    hosts.network.heal(DB2);
    let healed = hosts.now().await;
    let finished = submitter.finished().await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    println!(
        "a synchronous standby cut off: all was loaded {} s after its link was back",
        hosts
            .seconds(&healed, "SELECT max(ended_at) FROM pgimport.import")
            .await
    );
    assert_eq!(world.count("pgimport.import").await, 1);
    hosts.assert_exact(&[finished.id()], &[&file]).await;
}

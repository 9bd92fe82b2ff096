//! Two roles that submit and one that works, what each may do, and imports that are written by plain SQL.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{Call, Finished, Proc, World, role::Role};

/// Two who submit and one who works; each submitter has a table of its own, and only the worker may write to that of a third.
pub struct Company {
    pub world: World,
    pub alice: Role,
    pub bob: Role,
    pub worker: Role,
}

impl Company {
    pub async fn new() -> Self {
        let world = World::new().await;
        world
            .execute(
                "CREATE TABLE public.a (id bigserial PRIMARY KEY, n int);
                 CREATE TABLE public.b (id bigserial PRIMARY KEY, n int);
                 CREATE TABLE public.both (id bigserial PRIMARY KEY, n int);
                 CREATE SCHEMA vault;
                 CREATE TABLE vault.secret (id bigserial PRIMARY KEY, n int);
                 INSERT INTO vault.secret (n) SELECT generate_series(1, 100)",
            )
            .await;
        let (alice, bob, worker) = (
            Role::named(&world, "alice", "").await,
            Role::named(&world, "bob", "").await,
            Role::named(&world, "worker", "").await,
        );
        let mut grants = [
            alice.submitter_grants(),
            bob.submitter_grants(),
            worker.submitter_grants(),
            worker.worker_grants(),
            alice.grants_on("public.a"),
            bob.grants_on("public.b"),
            worker.grants(&["USAGE ON SCHEMA vault"]),
            worker.grants_on("vault.secret"),
            worker.grants_on("public.a"),
            worker.grants_on("public.b"),
            worker.grants_on("public.both"),
            // For ending the sessions of those who fell silent.
            vec![format!("GRANT {}, {} TO {}", alice.name, bob.name, worker.name)],
        ]
        .concat();
        grants.extend([&alice, &bob].iter().flat_map(|role| role.grants_on("public.both")));
        for grant in grants {
            world.execute(&grant).await;
        }
        Self {
            world,
            alice,
            bob,
            worker,
        }
    }

    /// Three records, submitted in chunks of one by this role.
    pub fn submit(&self, role: &Role, table: &str, arguments: &[&str]) -> i64 {
        // Of another content than the others': else the second would be the first.
        let text = format!("n\n1\n2\n{}\n", if role.name == self.bob.name { 4 } else { 3 });
        let file = self.world.file(&format!("{}.csv", role.name), text);
        let all = [&["-i", &file, "--table", table, "--chunk-rows", "1"], arguments].concat();
        self.enqueue(role, &all).exits(0).id()
    }

    pub fn enqueue(&self, role: &Role, arguments: &[&str]) -> Finished {
        self.call(role, arguments).run()
    }

    pub fn call(&self, role: &Role, arguments: &[&str]) -> Call {
        role.run(self.world.enqueue(arguments))
    }

    /// Works as the worker's role until nothing is left to do.
    #[track_caller]
    pub fn drain(&self) {
        self.worker.run(self.world.worker(&["--drain"])).run().exits(0);
    }

    pub fn working(&self) -> Proc {
        self.worker.run(self.world.worker(&["--concurrency", "2"])).start()
    }

    pub async fn count(&self, table: &str) -> i64 {
        self.world.number(&format!("SELECT count(*) FROM {table}")).await
    }

    pub async fn oid(&self, table: &str) -> i64 {
        self.world
            .number(&format!("SELECT '{table}'::regclass::oid::bigint"))
            .await
    }

    /// Nothing was written to what nobody but the worker may write, and nothing deleted from it.
    pub async fn assert_vault_untouched(&self) {
        let left = "SELECT count(*) FROM vault.secret WHERE n = id AND id <= 100";
        assert_eq!(self.world.number(left).await, 100);
        assert_eq!(self.count("vault.secret").await, 100);
    }

    /// What an import says of itself, whole, but for when it was last heard of.
    pub async fn row(&self, id: i64) -> String {
        let row = format!("SELECT i::text FROM pgimport.import AS i WHERE id = {id}");
        self.world.texts(&row).await.remove(0)
    }
}

pub async fn connect(role: &Role) -> PgConnection {
    PgConnection::connect(&role.url).await.unwrap()
}

pub async fn execute(conn: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(done.rows_affected())
}

/// The role tries it, and is told that it may not.
#[track_caller]
pub fn assert_refused(tried: Result<u64, sqlx::Error>, sql: &str, word: &str) {
    match tried {
        Err(sqlx::Error::Database(error)) => {
            let (code, message) = (error.code().unwrap_or_default(), error.message());
            assert!(code == "42501" && message.contains(word), "{sql}: {code} {message}");
        }
        other => panic!("{sql}: {other:?}"),
    }
}

pub async fn refused(role: &Role, sql: &str, word: &str) {
    let tried = execute(&mut connect(role).await, sql).await;
    assert_refused(tried, sql, word);
}

/// What every worker can read: the first version's options.
pub const OPTIONS: &str = r#"{"delimiter": 59, "header": false, "load_method": "insert", "chunk_rows": 9, "chunk_bytes": 99, "max_record": 99}"#;

pub const CHUNK: &str = "(import_id, ordinal, start_byte, end_byte, first_line, record_count, payload_bytes)";

/// An import that a role writes down by itself.
pub fn import_by_hand(target: &str, oid: i64, more: &[(&str, &str)]) -> String {
    let columns: String = more.iter().map(|(column, _)| format!(", {column}")).collect();
    let values: String = more.iter().map(|(_, value)| format!(", {value}")).collect();
    format!(
        "INSERT INTO pgimport.import (state, source, resumable, target, target_oid, id_column, columns, options, submitter, lease_until{columns})
         VALUES ('splitting', 'by hand', false, '{target}', {oid}, 'id', '{{n}}', '{OPTIONS}', 'by hand', now() + interval '1 hour'{values})"
    )
}

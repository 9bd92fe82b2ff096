//! What tests do to a server, and the chance by which they do it.

use rand::{SeedableRng as _, rngs::StdRng};
use sqlx::{AssertSqlSafe, PgConnection};

use super::World;

/// Randomness that a failed test can be run again with: its seed is printed, and taken from the environment.
pub fn seeded() -> StdRng {
    let seed = std::env::var("PG_IMPORT_TEST_SEED").map_or_else(
        |_| rand::random::<u64>(),
        |text| text.parse().expect("PG_IMPORT_TEST_SEED: a number"),
    );
    println!("PG_IMPORT_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Whoever is held back by [`Held::inserts`].
pub const HELD_BACK: &str = "pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid = 4711
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
/// Whoever waits for another advisory lock.
pub const OTHERS_WAIT: &str = "pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid <> 4711
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A lock that a session of ours holds until it is released.
pub struct Held(PgConnection);

impl Held {
    /// Takes a lock with statements such as `LOCK TABLE …`.
    pub async fn take(world: &World, statement: &str) -> Self {
        let mut conn = world.connect().await;
        sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {statement}")))
            .execute(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        Self(conn)
    }

    /// Holds back whoever inserts into `table`, with the rows in it, for however long: for the lock of a table they would wait for
    /// `lock_timeout` alone, and try it all once more.
    pub async fn inserts(world: &World, table: &str) -> Self {
        world
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION public.hold_back() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     PERFORM set_config('lock_timeout', '0', true);
                     PERFORM pg_advisory_xact_lock_shared(4711);
                     RETURN NULL;
                 END $$;
                 CREATE TRIGGER hold_back AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION public.hold_back()"
            ))
            .await;
        Self::take(world, "SELECT pg_advisory_xact_lock(4711)").await
    }

    /// Does something more in the same transaction, however long that waits.
    pub async fn also(mut self, statement: &str) -> Self {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut self.0)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
        self
    }

    /// Keeps what was done.
    pub async fn commit(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.expect("to commit");
    }

    pub async fn release(mut self) {
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut self.0)
            .await
            .expect("to release the lock");
    }
}

impl World {
    /// Ends the sessions of the processes whose names begin with `role`, those in a state that begins with `state`.
    pub async fn terminate(&self, role: &str, state: &str) -> u64 {
        // OFFSET keeps the planner from ending sessions before it looks whose database it is.
        self.count(&format!(
            "(SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '{role}%'
                 AND state LIKE '{state}%' OFFSET 0) AS s WHERE pg_terminate_backend(pid)"
        ))
        .await
    }
}

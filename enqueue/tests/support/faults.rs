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

//! A role of the database, as which the programs are run.

use session::{config::Credentials, database::Duty};

use super::{Call, World};

pub const SECRET: &str = "s3cret/Pa:ss@w0rd?";

/// A submitter and a worker with the documented grants, for the default table too.
pub async fn submitter_and_worker(world: &World) -> (Role, Role) {
    let (submitter, worker) = (
        Role::named(world, "submitter", "").await,
        Role::named(world, "worker", "").await,
    );
    let grants = [submitter.submitter_grants(), worker.worker_grants()].concat();
    for grant in grants.into_iter().chain([&submitter, &worker].map(Role::table_grant)) {
        world.execute(&grant).await;
    }
    (submitter, worker)
}

/// A role with nothing but its login and what a test grants.
pub struct Role {
    pub name: String,
    pub url: String,
}

impl Role {
    pub async fn new(world: &World, attributes: &str) -> Self {
        Self::named(world, "role", attributes).await
    }

    /// The roles of a server are those of all its databases, so each has its database's name.
    pub async fn named(world: &World, name: &str, attributes: &str) -> Self {
        let credentials = world.db.credentials();
        let name = format!("{name}_{}", credentials.database);
        world
            .execute(&format!("CREATE ROLE {name} LOGIN {attributes} PASSWORD '{SECRET}'"))
            .await;
        Self {
            url: testkit::url(&Credentials {
                user: name.clone(),
                password: "s3cret%2FPa%3Ass%40w0rd%3F".to_owned(),
                ..credentials.clone()
            }),
            name,
        }
    }

    /// The program as this role.
    pub fn run(&self, call: Call) -> Call {
        call.env("DATABASE_URL", &self.url)
    }

    /// What submitting, `status`, `rejects` and `cancel` need, beside SELECT, INSERT and (for `cancel`) DELETE on the table and USAGE on
    /// its sequence.
    pub fn submitter_grants(&self) -> Vec<String> {
        self.grants(Duty::Submitter.privileges())
    }

    /// What a worker needs, beside SELECT, INSERT and DELETE on the table and USAGE on its sequence.
    pub fn worker_grants(&self) -> Vec<String> {
        self.grants(Duty::Worker.privileges())
    }

    pub fn table_grant(&self) -> String {
        let sequence = "USAGE ON SEQUENCE sale_order_id_seq";
        let grants = self.grants(&["SELECT, INSERT, DELETE ON sale_order", sequence]);
        grants.join("; ")
    }

    pub fn grants(&self, privileges: &[&str]) -> Vec<String> {
        privileges
            .iter()
            .map(|what| format!("GRANT {what} TO {}", self.name))
            .collect()
    }

    /// What [`Self::submitter_grants`] and [`Self::worker_grants`] need for a table with an id column called `id`.
    pub fn grants_on(&self, table: &str) -> Vec<String> {
        self.grants(&[
            &format!("SELECT, INSERT, DELETE ON {table}"),
            &format!("USAGE ON SEQUENCE {table}_id_seq"),
        ])
    }
}

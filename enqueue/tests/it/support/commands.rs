//! The programs on a world's database, and what tests often have them do.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    Call, CsvFile, Finished, World, assert_json, orders,
    process::{enqueue_in, worker_in},
};

impl World {
    /// `enqueue` with this database.
    pub fn enqueue(&self, arguments: &[&str]) -> Call {
        self.bare(arguments).env("DATABASE_URL", self.db.url())
    }

    /// `enqueue`, without any settings.
    pub fn bare(&self, arguments: &[&str]) -> Call {
        enqueue_in(self.dir(), arguments)
    }

    pub fn worker(&self, arguments: &[&str]) -> Call {
        worker_in(self.dir(), arguments).env("DATABASE_URL", self.db.url())
    }

    /// A program of another version, with this database.
    pub fn program(&self, program: &Path, arguments: &[&str]) -> Call {
        // It does not begin where we did.
        let program = std::path::absolute(program).expect("a path");
        Call::new(&program, self.dir(), arguments).env("DATABASE_URL", self.db.url())
    }

    /// Runs `enqueue` to its end, while other tasks go on.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.enqueue(arguments).start().finished().await
    }

    /// Works until nothing is left to do.
    #[track_caller]
    pub fn drain(&self) {
        self.worker(&["--drain"]).run().exits(0);
    }

    /// Submits a file in chunks of 100 records.
    pub fn submit(&self, name: &str, content: &str, arguments: &[&str]) -> i64 {
        let path = self.file(name, content);
        let all = [&["-i", &path, "--chunk-rows", "100"], arguments].concat();
        self.enqueue(&all).run().exits(0).id()
    }

    /// Submits a file whose content the server knows, and returns its import.
    pub async fn submit_file(&self, file: &CsvFile, arguments: &[&str]) -> i64 {
        let all = [&["-i", file.path()], arguments].concat();
        self.run(&all).await.id()
    }

    /// Submits and works until every record is loaded; returns the import's status.
    #[track_caller]
    pub fn load(&self, arguments: &[&str]) -> Value {
        let id = self.enqueue(arguments).run().exits(0).id();
        self.drain();
        let status = self.status(id);
        if status["state"] != "loaded" || status["rejected"] != 0 {
            let rejects = self.enqueue(&["rejects", &id.to_string(), "--json"]).run();
            panic!("{status:#}\n{rejects:#?}");
        }
        status
    }

    /// Submits and loads orders of a shop.
    pub fn load_orders(&self, shop: &str, rows: usize, arguments: &[&str]) -> i64 {
        let id = self.submit(&format!("{shop}.csv"), &orders(shop, rows), arguments);
        self.drain();
        id
    }

    /// Cancels an import and works until nothing is left to do.
    pub fn undo(&self, id: i64, arguments: &[&str]) -> Value {
        let id_text = id.to_string();
        let all = [&["cancel", &id_text], arguments].concat();
        self.enqueue(&all).run().exits(0);
        self.drain();
        self.status(id)
    }

    /// Undoes imports, one after the other, and again as long as some are found that others gave back.
    pub async fn undo_all(&self, imports: &[i64]) {
        for _ in imports {
            for &id in imports {
                if self.state(id).await != "cancelled" {
                    self.undo(id, &[]);
                }
            }
        }
        for &id in imports {
            assert_json(&self.status(id), &json!({"state": "cancelled"}));
        }
    }

    /// What `cancel --dry-run` says.
    pub fn dry_run(&self, id: i64, arguments: &[&str]) -> Value {
        let id_text = id.to_string();
        let all = [&["cancel", &id_text, "--dry-run", "--json"], arguments].concat();
        self.enqueue(&all).run().exits(0).json()
    }

    #[track_caller]
    pub fn status(&self, id: i64) -> Value {
        self.enqueue(&["status", &id.to_string(), "--json"])
            .run()
            .exits(0)
            .json()
    }

    /// What psql prints.
    #[track_caller]
    pub fn psql(&self, arguments: &[&str]) -> String {
        let all = [&["psql", "--", "-qAtX", "-v", "ON_ERROR_STOP=1"], arguments].concat();
        self.enqueue(&all).run().exits(0).stdout
    }
}

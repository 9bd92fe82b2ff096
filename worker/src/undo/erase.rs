//! Deletes from the target exactly the rows that a chunk put there. With `load::plan`, the only code that writes a user's table.
//!
//! Where to look, the registry's ids or pages say; whose a row is, its transaction: one that did not write it for this chunk wrote another row, or
//! this one anew. Runs under the search path of the worker's role, for so do the table's triggers: what it calls is called by its full name.

use ledger::{
    LedgerError, before,
    chunks::{self, UndoCounts},
    conflicts::{self, ChunkConflicts},
    imports, registry, sessions,
};
use model::{ChunkKey, ConflictSpec, ImportId, ImportSpec, UndoSpec};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use target::{Restored, TargetError, UndoTarget, text_array};

use super::{
    edited::Edited,
    places::{Place, Places, Registered},
    restore::Restoration,
};
use crate::load::plan::LoadError;

/// The age at which a transaction's id may name another transaction too, by the lower half of it that rows have.
const OLDEST_AGE: u64 = 1 << 31;

/// Why rows are not deleted.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("the database refused to delete the rows")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(
        "nothing was deleted: more than two billion transactions have passed since the rows were loaded, so that others may look like those that wrote them"
    )]
    TooOld,
    #[error(
        "nothing was deleted: the rows were loaded by a transaction that this server has not had yet: the ledger was restored from another one, and the table may be another too"
    )]
    OtherServer,
    #[error("the server did not say where a restored row is")]
    Place(#[from] LoadError),
    #[error("the table was rewritten in this moment")]
    Rewritten,
    #[error("the partitions of the table cannot be looked at")]
    Target(#[from] TargetError),
    #[error(
        "nothing was deleted: {found} rows look as the import left them where it put {registered}: a trigger of the table may have written to rows of others"
    )]
    TooMany { registered: u64, found: u64 },
    #[error(
        "nothing was deleted: {found} rows would go where the import put {inserted}, for the former values of some are not found by their keys: a column of the key may have another type by now"
    )]
    NotRestored { inserted: u64, found: u64 },
}

/// A chunk's rows within the target.
pub struct Rows<'a> {
    pub chunk: ChunkKey,
    pub target: &'a UndoTarget,
    pub registered: &'a Registered,
    pub conflicts: ChunkConflicts,
    /// How to restore rows, where the chunk may have overwritten some.
    pub restored: Option<&'a Restored>,
    /// The column with the import's id, where there is one by which rows are found that were edited since.
    pub import_column: Option<&'a str>,
}

/// What is known of a chunk whose import may have found rows that were there already.
///
/// # Errors
/// [`LedgerError`] from the database.
pub(crate) async fn conflicts_of(
    conn: &mut PgConnection,
    chunk: ChunkKey,
    spec: &ImportSpec,
) -> Result<ChunkConflicts, LedgerError> {
    match spec.conflict {
        ConflictSpec::Fail => Ok(ChunkConflicts::default()),
        ConflictSpec::Ignore { .. } | ConflictSpec::Update { .. } => conflicts::read(conn, chunk).await,
    }
}

/// The rows that are found where an import's should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// As the import left them.
    pub ours: u64,
    /// Of these, rows of which the former values are known.
    pub restorable: u64,
    /// Under its ids, but not as it left them: edited since, or somebody else's. Those of other imports are not among them.
    pub differing: u64,
    /// That were registered without ids and are not found: edited since, or deleted by others, which nobody can tell.
    pub unknown: u64,
    /// That the import registered.
    pub registered: u64,
    /// The same without what undos have deleted.
    pub in_table: u64,
}

impl Rows<'_> {
    /// Looks at the rows without changing them.
    ///
    /// # Errors
    /// [`EraseError`] from the database.
    pub async fn find(&self, conn: &mut PgConnection) -> Result<Found, EraseError> {
        let places = Places::find(conn, self.target, self.registered, self.restored.is_some()).await?;
        // Whose the rows were does not matter to who only looks, and may not be for him to read.
        let restoration = self.restoration(conn, false).await?;
        let mut found = Found {
            registered: places.gone + places.outside,
            unknown: places.outside,
            in_table: chunks::rows_in_table(conn, self.chunk).await?,
            ..Found::default()
        };
        for place in &places.places {
            let condition = ours(place);
            let ours = count(conn, place, &condition).await?;
            found.ours += ours;
            if let Some(restoration) = &restoration {
                found.restorable += restoration.count(conn, place).await?;
            }
            found.registered += place.registered;
            match &place.id {
                Some(id) => found.differing += self.count_differing(conn, place, id).await?,
                None => found.unknown += place.registered.saturating_sub(ours),
            }
        }
        // Less what an undo before this one deleted, and what is gone.
        let left = found.in_table.saturating_sub(found.ours);
        found.unknown = found.unknown.min(left - places.gone.min(left));
        found.registered = found.registered.saturating_sub(self.conflicts.superseded);
        Ok(found)
    }

    /// Deletes the rows that are as the import left them; with `include_edited` also those that are not, but for those that other imports
    /// put there. What is left is counted; where rows have no ids, one that is not found counts as left, for it may have been edited.
    ///
    /// # Errors
    /// [`EraseError`]; a foreign key that forbids a deletion among them. The caller's transaction must be rolled back then.
    pub async fn erase(&self, conn: &mut PgConnection, undo: UndoSpec) -> Result<UndoCounts, EraseError> {
        self.check_age(conn, undo).await?;
        let places = Places::find(conn, self.target, self.registered, self.restored.is_some()).await?;
        let restoration = self.restoration(conn, true).await?;
        let mut gone = Vec::with_capacity(places.places.len());
        for place in &places.places {
            let condition = match &place.id {
                Some(id) if undo.include_edited => {
                    format!("({} OR NOT ({}))", ours(place), self.of_others(place, id, true))
                }
                _ => ours(place),
            };
            // What was there before is restored; and what something keeps from that is nothing to delete.
            let condition = match self.restored {
                Some(columns) => format!("{condition} AND NOT {}", was_there(self.chunk, columns)),
                None => condition,
            };
            gone.push(delete(conn, place, &condition).await?);
        }
        // Only now: it may be what they had that the former values need.
        let given_back = match restoration {
            Some(restoration) => restoration.run(conn, &places.places).await?,
            None => vec![0; gone.len()],
        };
        let mut counts = UndoCounts::default();
        for (place, (gone, restored)) in std::iter::zip(&places.places, std::iter::zip(gone, given_back)) {
            let registered = place.registered;
            counts.restored += restored;
            let deleted = gone + restored;
            if deleted > place.most {
                return Err(EraseError::TooMany {
                    registered: place.most,
                    found: deleted,
                });
            }
            let kept = match &place.id {
                _ if deleted == registered => 0,
                // A trigger may have kept rows of ours from being deleted, or a rule.
                Some(id) => self.count_differing(conn, place, id).await? + count(conn, place, &ours(place)).await?,
                None => registered.saturating_sub(deleted),
            };
            counts.deleted += deleted;
            counts.kept += kept;
            counts.missing += registered.saturating_sub(deleted + kept);
        }
        if matches!(self.registered, Registered::Pages(_)) {
            // What an undo before this one deleted is not found, as with ids.
            let in_table = chunks::rows_in_table(conn, self.chunk).await?;
            self.check_inserted(in_table, &counts)?;
            let registered = self.registered.rows().saturating_sub(self.conflicts.superseded);
            let before = registered.saturating_sub(in_table);
            let left = in_table.saturating_sub(counts.deleted);
            // Some that were superseded may be among those.
            let gone = places.gone.saturating_sub(self.conflicts.superseded).min(left);
            counts.kept = (counts.kept + places.outside).min(left - gone);
            counts.missing = left - counts.kept + before;
        }
        self.undo_removed(conn, &mut counts).await?;
        self.find_edited(conn, undo, &mut counts).await?;
        if !places.are_still(conn, self.target).await? {
            return Err(EraseError::Rewritten);
        }
        Ok(counts)
    }

    /// Finds out how many of the rows that are not as they were loaded are edited, and how many gone; those may be deleted too.
    async fn find_edited(
        &self,
        conn: &mut PgConnection,
        undo: UndoSpec,
        counts: &mut UndoCounts,
    ) -> Result<(), EraseError> {
        let (Some(column), 1..) = (self.import_column, counts.kept) else {
            return Ok(());
        };
        let import = self.chunk.import;
        // What is known of other chunks stays so until the end.
        sessions::transaction_lock(conn, &format!("pgimport edited {import}")).await?;
        let edited = Edited::find(conn, import, self.target, column).await?;
        if undo.include_edited {
            let deleted = edited.delete(conn, counts.kept).await?;
            counts.deleted += deleted;
            counts.kept -= deleted;
        }
        let lacking = counts.kept;
        // As many as there are that no other chunk lacks.
        let of_others = chunks::rows_kept(conn, import).await?;
        counts.kept = edited.count(conn).await?.saturating_sub(of_others).min(lacking);
        counts.missing += lacking - counts.kept;
        Ok(())
    }

    /// Undoes the chunk's part in rows that another import deleted, for its source did not have them, as they lie in the ledger: those that the
    /// chunk had put into the table do not come back, and count as deleted; others get their former values. One that may be found again,
    /// when others are undone, counts as kept.
    async fn undo_removed(&self, conn: &mut PgConnection, counts: &mut UndoCounts) -> Result<(), EraseError> {
        let (1.., Some(oldest)) = (counts.kept + counts.missing, self.registered.oldest_xid()) else {
            return Ok(());
        };
        let import = self.chunk.import;
        let family = self.target.family(conn).await?;
        let xmins: Vec<i64> = self.registered.xmins().into_iter().map(i64::from).collect();
        let not_found = match self.registered {
            Registered::Ids { .. } => &mut counts.missing,
            Registered::Pages(_) => &mut counts.kept,
        };
        for removed_by in before::removed_by_others(conn, import, &family, &xmins, oldest).await? {
            let (mut undone, mut restored) = (0, 0);
            if self.conflicts.counts.updated == 0 {
                undone += before::withdraw(conn, removed_by, &xmins, None).await?;
            } else if let Some(columns) = self.columns_of(conn, removed_by.import).await? {
                undone += before::withdraw(conn, removed_by, &xmins, Some(self.chunk)).await?;
                restored += before::restore_removed(conn, removed_by, &xmins, self.chunk, &columns).await?;
            }
            undone = (undone + restored).min(*not_found);
            *not_found -= undone;
            counts.deleted += undone;
            counts.restored += restored.min(undone);
        }
        if let (Registered::Ids { .. }, 1..) = (self.registered, counts.missing) {
            let held = before::overwritten_and_removed(conn, import, &family, &xmins).await?;
            let held = held.min(counts.missing);
            counts.missing -= held;
            counts.kept += held;
        }
        Ok(())
    }

    /// Which of the columns that this import updates those are, from 1, with which another one keeps what it deletes; `None` where that one finds
    /// rows by another key, or those of another table.
    async fn columns_of(
        &self,
        conn: &mut PgConnection,
        other: ImportId,
    ) -> Result<Option<Vec<Option<i32>>>, EraseError> {
        let (Some(restored), Some(other)) = (self.restored, imports::read(conn, other).await?) else {
            return Ok(None);
        };
        let ConflictSpec::Update {
            key,
            attributes,
            missing: Some(missing),
            ..
        } = &other.spec()?.conflict
        else {
            return Ok(None);
        };
        let theirs = attributes.iter().take(key.len()).map(|attribute| attribute.number);
        let ours = restored.key.iter().map(|column| column.attribute.number);
        if other.target_oid != self.target.oid || !theirs.eq(ours) {
            return Ok(None);
        }
        let numbers = missing.attributes.iter().map(|attribute| {
            let mut ours = (1..).zip(&restored.columns);
            let found = ours.find(|(_, column)| column.attribute.number == attribute.number);
            found.map(|(number, _)| number)
        });
        Ok(Some(numbers.collect()))
    }

    /// What restores rows, where the chunk may have overwritten some.
    async fn restoration(
        &self,
        conn: &mut PgConnection,
        to_owners: bool,
    ) -> Result<Option<Restoration<'_>>, EraseError> {
        let (Some(restored), Some(oldest)) = (self.restored, self.registered.oldest_xid()) else {
            return Ok(None);
        };
        let owners = if to_owners {
            let family = self.target.family(conn).await?;
            before::owners(conn, self.chunk, &family, oldest).await?
        } else {
            Vec::new()
        };
        before::pin_text_forms_and_plans(conn).await?;
        Ok(Some(Restoration {
            chunk: self.chunk,
            target: self.target,
            restored,
            owners,
        }))
    }

    /// Checks that no more rows are deleted than were put where there was none: others have to be restored.
    fn check_inserted(&self, in_table: u64, counts: &UndoCounts) -> Result<(), EraseError> {
        let ChunkConflicts {
            counts: of_load,
            restored,
            ..
        } = self.conflicts;
        let inserted = in_table.saturating_sub(of_load.updated.saturating_sub(restored));
        let found = counts.deleted - counts.restored;
        if found > inserted {
            return Err(EraseError::NotRestored { inserted, found });
        }
        Ok(())
    }

    /// Checks that the transactions that wrote the rows can still be told from others.
    ///
    /// # Errors
    /// [`EraseError::TooOld`], which does not count where rows of others under the same ids are deleted too; [`EraseError::OtherServer`].
    pub async fn check_age(&self, conn: &mut PgConnection, undo: UndoSpec) -> Result<(), EraseError> {
        let Some(oldest) = self.registered.oldest_xid() else {
            return Ok(());
        };
        match registry::next_xid(conn).await?.checked_sub(oldest) {
            None | Some(0) => Err(EraseError::OtherServer),
            Some(age) if age >= OLDEST_AGE && !(undo.include_edited && self.registered.has_ids()) => {
                Err(EraseError::TooOld)
            }
            Some(_) => Ok(()),
        }
    }

    /// That a row under one of the place's ids is another import's; one that wrote over it only if `updated` says so.
    fn of_others(&self, place: &Place, id: &str, updated: bool) -> String {
        let given = registry::given_to_later(self.chunk, self.target.oid, &place.xids, id);
        format!("{given} OR {}", registry::written_by_another(self.chunk, updated))
    }

    /// Rows under the place's ids that are neither as the import left them nor of a later load. Those that another import wrote over are among
    /// them, for it gives them back when it is undone.
    async fn count_differing(&self, conn: &mut PgConnection, place: &Place, id: &str) -> Result<u64, EraseError> {
        let differing = format!("NOT ({})", ours(place));
        // Nearly always none, and then nobody need be asked whose they are.
        if count(conn, place, &differing).await? == 0 {
            return Ok(0);
        }
        let condition = format!("{differing} AND NOT ({})", self.of_others(place, id, false));
        count(conn, place, &condition).await
    }
}

async fn count(conn: &mut PgConnection, place: &Place, condition: &str) -> Result<u64, EraseError> {
    let statement = statement(place, "SELECT pg_catalog.count(*)", condition);
    // Each chunk has a text of its own: to keep it prepared would only take room.
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    let count: i64 = query.fetch_one(conn).await?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

async fn delete(conn: &mut PgConnection, place: &Place, condition: &str) -> Result<u64, EraseError> {
    let statement = statement(place, "DELETE", condition);
    let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    Ok(query.execute(conn).await?.rows_affected())
}

/// Does something with the rows of a place of which a condition holds.
fn statement(place: &Place, verb: &str, condition: &str) -> String {
    format!("{verb} FROM {} AS t WHERE {} AND {condition}", place.from, place.within)
}

/// Rows that a chunk had found in the table.
fn was_there(chunk: ChunkKey, restored: &Restored) -> String {
    let found = before::found_by(chunk, &text_array(&restored.key));
    format!("EXISTS (SELECT FROM pgimport.import_before AS b WHERE {found})")
}

/// Rows that the chunk's own transactions wrote. As a constant: with a list that comes as a parameter a generic plan looks each row up in
/// it from its beginning.
pub(crate) fn ours(place: &Place) -> String {
    let list: Vec<String> = place.xids.xmins.iter().map(u32::to_string).collect();
    format!(
        "t.xmin OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.xid[])",
        list.join(",")
    )
}

//! What must hold at every moment.

use model::{ChunkState, ImportState};
use stateright::{Model as _, Property};

use crate::{
    Protocol,
    state::{At, State, bit, ordinals},
};

/// Exactly once, the half that holds at any moment.
pub const ONCE: &str = "the rows of a part of the source are in the target at most once";
/// The other half.
pub const LOADED_WHOLE: &str = "of an import that is loaded every part is in the target exactly once";
pub const CANCELLED_EMPTY: &str = "of an import that is cancelled no row is left";
pub const ENDED_CLOSED: &str = "an import that ended has no chunk that somebody could go on with";
/// Rows, chunks and payloads are changed together.
pub const AGREE: &str = "the ledger and the target agree";
pub const FENCED: &str = "no row is loaded after the fence";
pub const UNDO_DECIDES: &str = "no row is deleted before the fence, or after the end of the undo";
pub const UNDO_ENDS: &str = "an undo ends when every chunk is decided, unless somebody keeps what is left";
pub const OTHERS_STAY: &str = "no row is deleted that is not as the import left it";
/// What the claim is first for.
pub const ALONE: &str = "two transactions never write the rows of a chunk at the same time";
pub const OWN_LEASE: &str = "only the submitter that the import names adds to it, or ends its splitting";
/// By `model::ImportState::after`.
pub const LEGAL: &str = "nobody asks for a change of the import's state that cannot happen";
/// By [`explore`](crate::explore) more is shown: that there is a way from everywhere.
pub const NOT_STUCK: &str = "an import ends, or something can go on by itself";

pub(crate) fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONCE, |protocol: &Protocol, state: &State| {
            (0..protocol.parts).all(|part| state.rows_of(part) <= 1)
        }),
        Property::always(LOADED_WHOLE, |protocol: &Protocol, state: &State| {
            state.import.state != ImportState::Loaded || (0..protocol.parts).all(|part| state.rows_of(part) == 1)
        }),
        Property::always(CANCELLED_EMPTY, |_, state: &State| {
            state.import.state != ImportState::Cancelled || state.rows.iter().all(|rows| rows.ours + rows.edited == 0)
        }),
        Property::always(ENDED_CLOSED, |_, state: &State| {
            use ChunkState as C;
            let open: &[C] = match state.import.state {
                ImportState::Splitting | ImportState::Loading | ImportState::Cancelling => &[],
                ImportState::Failed => &[C::Pending],
                ImportState::Loaded | ImportState::Kept => &[C::Pending, C::Failed],
                ImportState::Cancelled => &[C::Pending, C::Failed, C::Loaded],
            };
            state.chunks_in(open) == 0
        }),
        Property::always(AGREE, |_, state: &State| {
            state.chunks.iter().zip(state.rows).all(|(chunk, rows)| {
                let Some(chunk) = chunk else {
                    return rows.ours + rows.edited == 0;
                };
                let is_loaded = chunk.state == ChunkState::Loaded;
                let is_open = matches!(chunk.state, ChunkState::Pending | ChunkState::Failed);
                (rows.ours + rows.edited == 1) == is_loaded && chunk.payload == is_open
            })
        }),
        Property::always(FENCED, |_, state: &State| !state.seen.late_load),
        Property::always(UNDO_DECIDES, |_, state: &State| !state.seen.untimely_deletion),
        Property::always(UNDO_ENDS, |_, state: &State| !state.seen.undo_cut_short),
        Property::always(LEGAL, |_, state: &State| !state.seen.illegal),
        Property::always(OTHERS_STAY, |_, state: &State| !state.seen.others_deleted),
        Property::always(ALONE, |_, state: &State| {
            ordinals().all(|chunk| {
                state
                    .sessions
                    .iter()
                    .filter(|session| writes(session.at) & bit(chunk) != 0)
                    .count()
                    <= 1
            })
        }),
        Property::always(OWN_LEASE, |_, state: &State| !state.seen.intruded),
        Property::always(NOT_STUCK, |protocol: &Protocol, state: &State| {
            let mut actions = Vec::new();
            state.import.state.is_final() || {
                protocol.progress_actions(state, &mut actions);
                actions
                    .into_iter()
                    .any(|action| protocol.next_state(state, action).is_some())
            }
        }),
    ]
}

impl State {
    /// Rows in the target of a part of the source, however many chunks it became.
    fn rows_of(&self, part: u8) -> u8 {
        let chunks = self.chunks.iter().zip(self.rows);
        chunks
            .filter(|(chunk, _)| chunk.is_some_and(|chunk| chunk.part == part))
            .map(|(_, rows)| rows.ours + rows.edited)
            .sum()
    }
}

/// The chunk of which a session has written rows, or deleted them, as a bit.
fn writes(at: At) -> u8 {
    match at {
        At::Parsed { chunk, wrote: true }
        | At::Claiming { chunk, wrote: true }
        | At::Claimed { chunk, wrote: true }
        | At::LookedTooSoon { chunk, .. }
        | At::Erased { chunk, .. } => bit(chunk),
        _ => 0,
    }
}

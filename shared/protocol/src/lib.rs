//! A model of how an import is loaded, ended, cancelled and rescued, small enough that a machine looks at every order in which its steps can
//! happen: two workers, a submitter and one that takes over, a person, maintenance, two chunks.
//!
//! Each step is one SQL statement of the code, or several of which nobody can tell the order, and its description names them. What the
//! server does with a statement is that of READ COMMITTED: it sees what was committed when it began, and where it waits for a row, it judges
//! *that row* as it is then, and everything else by what it saw. So a statement that waits has two steps: one that sees, and one that has the lock.
//!
//! [`Mending`]s can be taken out, each of them a precaution of the code. Tests show what goes wrong without it, or what stands behind it.
//!
//! What is left out is in docs/RELIABILITY.md.

mod actions;
mod config;
mod ending;
mod load;
mod maintenance;
mod progress;
mod properties;
mod requests;
mod state;
mod submit;
mod undo;

pub use actions::Action;
pub use config::{Begin, Limits, Mending, Protocol};
pub use progress::{Explored, explore};
pub use properties::{
    AGREE, ALONE, CANCELLED_EMPTY, ENDED_CLOSED, FENCED, LEGAL, LOADED_WHOLE, NOT_STUCK, ONCE, OTHERS_STAY, OWN_LEASE,
    UNDO_DECIDES, UNDO_ENDS,
};
pub use state::State;

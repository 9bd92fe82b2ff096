//! What goes wrong without a precaution, which shows that the model would see it; and where another one stands behind it.

use super::check::{STORED, SUBMITTED, breaks, holds, keeps, sticks};
use protocol::{
    AGREE, ALONE, Begin, CANCELLED_EMPTY, ENDED_CLOSED, FENCED, LOADED_WHOLE, Limits, Mending, NOT_STUCK, ONCE,
    OTHERS_STAY, OWN_LEASE, Protocol, UNDO_DECIDES, UNDO_ENDS,
};

/// One chunk is enough.
const ONE: Protocol = Protocol { parts: 1, ..STORED };
const DOUBLED: Limits = Limits {
    doubled: 1,
    ..Limits::NONE
};

fn without(without: &'static [Mending], limits: Limits, protocol: Protocol) -> Protocol {
    Protocol {
        limits,
        without,
        ..protocol
    }
}

/// Two jobs for one chunk. Each of three conditions would do: that of the claim, that of the UPDATE at the end, and that there is a payload to
/// delete.
#[test]
fn a_chunk_is_loaded_twice_if_nobody_looks_at_its_state() {
    use Mending::{ClaimLooks, FinishLooks, PayloadCounts};
    const ALL: &[Mending] = &[ClaimLooks, FinishLooks, PayloadCounts];
    breaks("no look", without(ALL, DOUBLED, STORED), ONCE);
    breaks("no look", without(ALL, DOUBLED, STORED), LOADED_WHOLE);
    breaks("no look", without(ALL, DOUBLED, STORED), AGREE);
    let limits = Limits { cancels: 1, ..DOUBLED };
    breaks("no look, and a cancel", without(ALL, limits, ONE), CANCELLED_EMPTY);
    const TWO: [&[Mending]; 3] = [
        &[ClaimLooks, FinishLooks],
        &[ClaimLooks, PayloadCounts],
        &[FinishLooks, PayloadCounts],
    ];
    for two in TWO {
        let protocol = without(two, limits, STORED);
        holds(&format!("without {two:?}"), protocol, &["cancelled", "loaded"]);
    }
}

/// Rows that are written before the claim are written beside a rival's: who has keys of theirs waits for them, and finds them taken. They are
/// not committed, as long as the claim is of the same transaction.
#[test]
fn a_claim_that_is_not_first_keeps_no_rival_from_writing() {
    use Mending::{ClaimIsFirst, OneTransaction};
    breaks("claim last", without(&[ClaimIsFirst], DOUBLED, STORED), ALONE);
    let crash = Limits {
        crashes: 1,
        ..Limits::NONE
    };
    let apart = without(&[ClaimIsFirst, OneTransaction], crash, ONE);
    breaks("claim in another transaction", apart.clone(), ONCE);
    breaks("claim in another transaction", apart, AGREE);
    // All other properties hold, as they do not of the one below.
    for property in [ONCE, LOADED_WHOLE, AGREE, CANCELLED_EMPTY, FENCED] {
        let limits = Limits { cancels: 1, ..DOUBLED };
        keeps("claim last", without(&[ClaimIsFirst], limits, STORED), property);
    }
}

/// A chunk that is being loaded is left out, the import ends as cancelled, and then its rows are committed.
#[test]
fn rows_stay_if_the_fence_does_not_wait_for_loads() {
    let limits = Limits {
        cancels: 1,
        ..Limits::NONE
    };
    for property in [CANCELLED_EMPTY, FENCED, ENDED_CLOSED] {
        breaks("fence", without(&[Mending::FenceWaits], limits, STORED), property);
    }
}

/// Who waits for the import's row while another ends it, and a person has it tried again or undone anew, ends it a second time by what it saw
/// before.
#[test]
fn an_import_ends_too_soon_if_one_statement_locks_and_looks() {
    const WITHOUT: &[Mending] = &[Mending::EndLooksAfterLock];
    let limits = Limits {
        failures: 1,
        retries: 1,
        ..Limits::NONE
    };
    breaks("stale end of loading", without(WITHOUT, limits, STORED), ENDED_CLOSED);
    let limits = Limits {
        cancels: 2,
        edits: 1,
        ..Limits::NONE
    };
    breaks("stale end of an undo", without(WITHOUT, limits, ONE), UNDO_ENDS);
}

/// The last two chunks are loaded at the same time, and neither worker sees the other's. Maintenance stands behind it.
#[test]
fn nobody_ends_an_import_if_all_look_before_they_commit() {
    let alone = without(
        &[Mending::LooksAfterCommit, Mending::EndsUnnoticed],
        Limits::NONE,
        STORED,
    );
    sticks("look before the commit", &alone);
    breaks("look before the commit", alone, NOT_STUCK);
    let helped = without(&[Mending::LooksAfterCommit], Limits::NONE, STORED);
    holds("look before the commit, and maintenance", helped, &["loaded"]);
}

#[test]
fn a_lost_job_is_the_end_without_maintenance() {
    let limits = Limits {
        lost: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::RenewsWakeups], limits, STORED);
    sticks("lost job", &protocol);
    breaks("lost job", protocol, NOT_STUCK);
}

/// What the code does not have: it finds such a job when its chunk is done, and else when the worker's session ends.
#[test]
fn what_is_lost_with_the_word_of_it_waits_for_its_worker_to_end() {
    let limits = Limits {
        words_lost: 1,
        cancels: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::FindsForgotten], limits, STORED);
    sticks("lost word", &protocol);
    breaks("lost word", protocol, NOT_STUCK);
    let found = without(&[], limits, STORED);
    holds("lost word that is found", found, &["cancelled", "loaded"]);
}

#[test]
fn a_worker_that_dies_before_its_look_is_the_end_without_maintenance() {
    let limits = Limits {
        crashes: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::EndsUnnoticed], limits, STORED);
    sticks("unnoticed end", &protocol);
    breaks("unnoticed end", protocol, NOT_STUCK);
}

#[test]
fn a_frozen_worker_keeps_all_waiting_if_nobody_ends_its_session() {
    let limits = Limits {
        freezes: 1,
        cancels: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::EndsSessions], limits, ONE);
    sticks("frozen worker", &protocol);
    breaks("frozen worker", protocol, NOT_STUCK);
}

#[test]
fn a_stream_without_its_submitter_stays_if_nobody_cancels_it() {
    let limits = Limits {
        crashes: 1,
        ..Limits::NONE
    };
    let stream = Protocol {
        begin: Begin::Submitted { resumable: false },
        ..SUBMITTED
    };
    sticks("stream", &without(&[Mending::CancelsStreams], limits, stream));
}

#[test]
fn rows_of_others_go_if_a_deletion_asks_for_ids_alone() {
    let limits = Limits {
        edits: 1,
        cancels: 1,
        ..Limits::NONE
    };
    breaks("by ids", without(&[Mending::DeletesOwnRows], limits, ONE), OTHERS_STAY);
}

/// `keep` ends the undo while a deletion runs.
#[test]
fn rows_go_after_the_end_if_a_deletion_does_not_hold_the_import() {
    let limits = Limits {
        cancels: 1,
        keeps: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::DeletionHoldsImport], limits, ONE);
    breaks("deletion without locks", protocol, UNDO_DECIDES);
}

/// `keep` has the import and waits for a deletion, which has joined the others and waits for the import. (The server would end one of them.)
#[test]
fn two_wait_for_one_another_if_locks_are_taken_in_another_order() {
    let limits = Limits {
        cancels: 1,
        keeps: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::LocksInOrder], limits, ONE);
    sticks("order of locks", &protocol);
    breaks("order of locks", protocol, NOT_STUCK);
}

/// A job of an undo that was stopped is delivered when another one was just asked for.
#[test]
fn rows_go_before_the_fence_if_a_deletion_does_not_ask_for_it() {
    let limits = Limits {
        cancels: 2,
        keeps: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::DeletionNeedsFence], limits, ONE);
    breaks("late job", protocol, UNDO_DECIDES);
}

/// What a deletion does a second time changes nothing: rows that are as they were loaded are gone, and others stay.
#[test]
fn a_deletion_may_be_done_twice() {
    let limits = Limits {
        cancels: 2,
        keeps: 1,
        edits: 1,
        doubled: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::DeletionLooks], limits, ONE);
    holds("deletion without a look", protocol, &["cancelled", "kept", "loaded"]);
}

/// A chunk is added to an import that is fenced and ended in between.
#[test]
fn a_chunk_comes_too_late_if_its_batch_does_not_lock_the_import() {
    const WITHOUT: &[Mending] = &[Mending::BatchLocksImport];
    let limits = Limits {
        cancels: 1,
        ..Limits::NONE
    };
    breaks(
        "batch beside a cancel",
        without(WITHOUT, limits, SUBMITTED),
        ENDED_CLOSED,
    );
    let limits = Limits {
        silences: 1,
        ..Limits::NONE
    };
    breaks(
        "batch beside a takeover",
        without(WITHOUT, limits, SUBMITTED),
        OWN_LEASE,
    );
}

/// The former submitter wakes up and goes on beside the one that took over. That nothing is stored twice then is because each looks what is
/// there.
#[test]
fn a_former_submitter_goes_on_if_nobody_asks_who_it_is() {
    use Mending::{BatchLooksWhatIsStored, BatchNamesSubmitter};
    let limits = Limits {
        silences: 1,
        ..Limits::NONE
    };
    let protocol = without(&[BatchNamesSubmitter], limits, SUBMITTED);
    breaks("former submitter", protocol.clone(), OWN_LEASE);
    keeps("former submitter", protocol, ONCE);
    let protocol = without(&[BatchNamesSubmitter, BatchLooksWhatIsStored], limits, SUBMITTED);
    breaks("former submitter that does not look", protocol, ONCE);
}

#[test]
fn a_batch_is_stored_twice_if_its_answer_is_lost_and_nobody_looks() {
    let limits = Limits {
        answers_lost: 1,
        ..Limits::NONE
    };
    let protocol = without(&[Mending::BatchLooksWhatIsStored], limits, SUBMITTED);
    breaks("answer lost", protocol.clone(), ONCE);
    breaks("answer lost", protocol, LOADED_WHOLE);
}

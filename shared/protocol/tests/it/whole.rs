//! With all precautions nothing goes wrong, whatever happens in whichever order.

use super::check::{STORED, SUBMITTED, holds};
use protocol::{Begin, Limits, Protocol};

#[test]
fn chunks_are_loaded_once_whoever_dies_or_stands_still() {
    let limits = Limits {
        crashes: 2,
        freezes: 1,
        lost: 1,
        doubled: 1,
        ..Limits::NONE
    };
    holds("load", Protocol { limits, ..STORED }, &["loaded"]);
}

#[test]
fn what_failed_is_tried_again() {
    let limits = Limits {
        failures: 1,
        retries: 1,
        freezes: 1,
        doubled: 1,
        ..Limits::NONE
    };
    holds("retry", Protocol { limits, ..STORED }, &["failed", "loaded"]);
}

#[test]
fn a_cancel_leaves_nothing_whoever_dies_or_stands_still() {
    let limits = Limits {
        cancels: 1,
        crashes: 1,
        freezes: 1,
        ..Limits::NONE
    };
    holds("cancel", Protocol { limits, ..STORED }, &["cancelled", "loaded"]);
}

#[test]
fn a_cancel_leaves_nothing_of_what_failed_or_was_retried() {
    let limits = Limits {
        cancels: 1,
        failures: 1,
        retries: 1,
        lost: 1,
        doubled: 1,
        ..Limits::NONE
    };
    let protocol = Protocol { limits, ..STORED };
    holds("cancel, failed", protocol, &["cancelled", "failed", "loaded"]);
}

#[test]
fn what_was_edited_stays_and_an_undo_can_be_stopped_and_asked_for_again() {
    let limits = Limits {
        cancels: 2,
        keeps: 1,
        edits: 1,
        ..Limits::NONE
    };
    let protocol = Protocol { limits, ..STORED };
    holds("undo, two chunks", protocol, &["cancelled", "kept", "loaded"]);
    let limits = Limits {
        crashes: 1,
        doubled: 1,
        ..limits
    };
    let protocol = Protocol {
        parts: 1,
        limits,
        ..STORED
    };
    holds("undo, killed", protocol, &["cancelled", "kept", "loaded"]);
    let limits = Limits {
        crashes: 0,
        doubled: 0,
        freezes: 1,
        ..limits
    };
    let protocol = Protocol {
        parts: 1,
        limits,
        ..STORED
    };
    holds("undo, frozen", protocol, &["cancelled", "kept", "loaded"]);
}

#[test]
fn a_submission_is_taken_over_and_nothing_of_it_is_stored_twice() {
    let limits = Limits {
        freezes: 1,
        silences: 1,
        answers_lost: 1,
        ..Limits::NONE
    };
    let protocol = Protocol {
        parts: 2,
        limits,
        ..SUBMITTED
    };
    holds("takeover, frozen", protocol, &["loaded"]);
    let limits = Limits {
        freezes: 0,
        crashes: 1,
        ..limits
    };
    let protocol = Protocol {
        parts: 2,
        limits,
        ..SUBMITTED
    };
    holds("takeover, killed", protocol, &["loaded"]);
}

#[test]
fn a_submission_may_be_cancelled_or_fail_while_others_load_it() {
    let limits = Limits {
        cancels: 1,
        failures: 1,
        silences: 1,
        ..Limits::NONE
    };
    let ends = &["cancelled", "failed", "loaded"];
    let protocol = Protocol {
        parts: 2,
        limits,
        ..SUBMITTED
    };
    holds("submission", protocol.clone(), ends);
    let limits = Limits {
        silences: 0,
        freezes: 1,
        ..limits
    };
    let protocol = Protocol {
        parts: 1,
        limits,
        ..protocol
    };
    holds("submission, frozen", protocol, ends);
}

#[test]
fn a_stream_without_its_submitter_is_cancelled() {
    let limits = Limits {
        crashes: 1,
        freezes: 1,
        silences: 1,
        ..Limits::NONE
    };
    let protocol = Protocol {
        begin: Begin::Submitted { resumable: false },
        limits,
        ..SUBMITTED
    };
    holds("stream", protocol, &["cancelled", "loaded"]);
}

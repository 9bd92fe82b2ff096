//! What both kinds of tests do with a model. What was found, and in how many states, is printed: `cargo test -p protocol -- --nocapture`.

use std::time::Instant;

use protocol::{Begin, Explored, Limits, Protocol, explore};
use stateright::{Checker as _, HasDiscoveries, Model as _};

/// An import of two chunks that loads.
pub const STORED: Protocol = Protocol {
    begin: Begin::Stored,
    parts: 2,
    limits: Limits::NONE,
    without: &[],
};

/// An import of one chunk that a submitter has just added, and another one could take over.
pub const SUBMITTED: Protocol = Protocol {
    begin: Begin::Submitted { resumable: true },
    parts: 1,
    ..STORED
};

/// Every property holds in every state, there is a way to an end from each, and imports end in these ways and in no others.
pub fn holds(name: &str, protocol: Protocol, ends: &[&str]) {
    let begin = Instant::now();
    let Explored {
        states,
        ends: found,
        stuck,
        way,
    } = explore(&protocol);
    assert_eq!(stuck, 0, "{name}: no end can be reached after {way:#?}");
    assert!(
        found.keys().eq(ends),
        "{name}: imports end as {found:?}, and should as {ends:?}"
    );
    let checker = protocol.checker().spawn_bfs().join();
    println!(
        "{name}: {states} states, {} steps, {} deep; nothing found; ends {found:?}; {:.1} s",
        checker.state_count(),
        checker.max_depth(),
        begin.elapsed().as_secs_f64()
    );
    checker.assert_properties();
    assert_eq!(
        checker.unique_state_count(),
        states,
        "{name}: both went through the same states"
    );
}

/// The checker finds a way to a state in which the property does not hold.
pub fn breaks(name: &str, protocol: Protocol, property: &'static str) {
    let checker = protocol
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let Some(way) = checker.discovery(property) else {
        panic!(
            "{name}: \"{property}\" holds in all {} states",
            checker.unique_state_count()
        );
    };
    println!(
        "{name}: found within {} states, {} steps from the beginning: not \"{property}\"",
        checker.unique_state_count(),
        way.into_actions().len()
    );
}

/// There are states from which no end can be reached any more.
pub fn sticks(name: &str, protocol: &Protocol) {
    let Explored { states, stuck, way, .. } = explore(protocol);
    let Some(way) = way else {
        panic!("{name}: an end can be reached from all {states} states");
    };
    println!(
        "{name}: {stuck} of {states} states are dead ends, the first of them {} steps from the beginning",
        way.len()
    );
}

/// The property holds in every state, whatever may be said of others.
pub fn keeps(name: &str, protocol: Protocol, property: &'static str) {
    let checker = protocol.checker().spawn_bfs().join();
    assert!(
        checker.discovery(property).is_none(),
        "{name}: \"{property}\" does not hold"
    );
    println!("{name}: \"{property}\" in all {} states", checker.unique_state_count());
}

//! That an import can always end by itself: from every state that can come about there is a way to an end on which nobody asks for anything
//! and nothing bad happens.
//!
//! What the checker calls *eventually* would not do, for steps may go in circles: a job that finds nothing to do is given back and comes again.

use std::collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry};

use model::ImportState;
use stateright::Model as _;

use crate::{Action, Protocol, State};

/// What there is to be seen of a model.
#[derive(Debug)]
pub struct Explored {
    /// States that can come about.
    pub states: usize,
    /// In how many of them an import has ended, and how.
    pub ends: BTreeMap<&'static str, usize>,
    /// States from which no end can be reached any more.
    pub stuck: usize,
    /// The shortest way to one of them.
    pub way: Option<Vec<Action>>,
}

/// Goes through all states, then back from the ends along what happens by itself.
#[must_use]
pub fn explore(protocol: &Protocol) -> Explored {
    let mut graph = Graph::default();
    for state in protocol.init_states() {
        graph.add(state, None);
    }
    let mut next = 0;
    let mut actions = Vec::new();
    while let Some(state) = graph.states.get(next).cloned() {
        protocol.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(after) = protocol.next_state(&state, action) else {
                continue;
            };
            let after = graph.add(after, Some((next, action)));
            if action.is_progress() {
                graph.before[after].push(next);
            }
        }
        next += 1;
    }
    let reaches = graph.reach_an_end();
    let mut ends = BTreeMap::new();
    for state in graph
        .states
        .iter()
        .map(|state| state.import.state)
        .filter(|state| state.is_final())
    {
        *ends.entry(ImportState::as_str(state)).or_default() += 1;
    }
    Explored {
        states: graph.states.len(),
        ends,
        stuck: reaches.iter().filter(|&&reaches| !reaches).count(),
        way: reaches
            .iter()
            .position(|&reaches| !reaches)
            .map(|stuck| graph.way_to(stuck)),
    }
}

#[derive(Default)]
struct Graph {
    /// In the order of how many steps they are away.
    states: Vec<State>,
    numbers: HashMap<State, usize>,
    /// How each was reached first.
    from: Vec<Option<(usize, Action)>>,
    /// From where each is reached by itself.
    before: Vec<Vec<usize>>,
}

impl Graph {
    fn add(&mut self, state: State, from: Option<(usize, Action)>) -> usize {
        let number = self.states.len();
        match self.numbers.entry(state) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.states.push(new.key().clone());
                new.insert(number);
                self.from.push(from);
                self.before.push(Vec::new());
                number
            }
        }
    }

    fn reach_an_end(&self) -> Vec<bool> {
        let mut reaches: Vec<bool> = self.states.iter().map(|state| state.import.state.is_final()).collect();
        let mut ends: VecDeque<usize> = (0..reaches.len()).filter(|&number| reaches[number]).collect();
        while let Some(number) = ends.pop_front() {
            for &before in &self.before[number] {
                if !std::mem::replace(&mut reaches[before], true) {
                    ends.push_back(before);
                }
            }
        }
        reaches
    }

    fn way_to(&self, mut number: usize) -> Vec<Action> {
        let mut way = Vec::new();
        while let Some((before, action)) = self.from[number] {
            way.push(action);
            number = before;
        }
        way.reverse();
        way
    }
}

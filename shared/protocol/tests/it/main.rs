//! Goes through all states of the model: with all precautions, and without one or several.

mod check;
mod whole;
mod without;

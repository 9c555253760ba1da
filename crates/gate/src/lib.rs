//! the one door

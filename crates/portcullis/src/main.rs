//! an identity-aware wire proxy for AI agents and people
fn main() {}

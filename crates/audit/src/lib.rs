//! events to hash chain to checkpoints

//! proof to principal

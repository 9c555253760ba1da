//! requests for a human, votes, claims, expiry

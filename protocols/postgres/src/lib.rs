//! PostgreSQL through the gate

//! The reader from outside: tables of texts and their readings, scopes, depth, and properties.

mod deep;
mod properties;
mod scopes;
mod shop;
mod tables;

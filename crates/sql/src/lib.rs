//! SQL text to operations

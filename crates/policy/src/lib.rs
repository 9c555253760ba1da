//! Case to Decision

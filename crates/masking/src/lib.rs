//! What stands in a protected value's place, and what is protected at all: a value in, a value out.

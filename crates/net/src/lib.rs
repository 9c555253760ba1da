//! accept, TLS, dial, limits, drain

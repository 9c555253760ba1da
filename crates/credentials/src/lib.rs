//! connection to backend credential

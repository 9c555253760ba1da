//! one API router

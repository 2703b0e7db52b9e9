//! Fixtures and needs().

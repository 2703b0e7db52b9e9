//! What this host has of what containers need.

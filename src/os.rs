//! What the operating system gives to adapters: files, processes, templates for argv, HTTP clients, harmless text.
//!
//! Imports: model, its children. May not: know a port or an adapter.

pub mod logring;

//! What the operating system gives to adapters: files, processes, templates for argv, HTTP clients, harmless text.
//!
//! Imports: model, its children. May not: know a port or an adapter.

pub mod file;
pub mod http;
pub mod logring;
pub mod process;
pub mod template;
pub mod text;

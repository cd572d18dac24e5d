//! What the operating system gives to adapters: files, users, processes, programs that are run to their end, here and on other hosts, templates for argv,
//! HTTP clients, harmless text.
//!
//! Imports: model, its children. May not: know a port or an adapter.

pub mod child;
pub mod extract;
pub mod failpoint;
pub mod file;
pub mod http;
pub mod image;
pub mod logout;
pub mod logring;
pub mod own;
pub mod process;
pub mod program;
pub mod running;
pub mod sharing;
pub mod ssh;
pub mod template;
pub mod text;
pub mod tls;
pub mod trust;
pub mod users;

//! One list of promises, kept by every traffic driver against the real balancer.
//!
//! Imports: traffic, model, ports. May not: make an exception that is not one of the world's traits.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why"
)]

mod caddy;
#[path = "../common/mod.rs"]
mod common;
mod demo;
mod deployments;
#[path = "../faults/engine.rs"]
mod engine;
mod faults;
mod haproxy;
mod nginx;
mod promises;
#[expect(dead_code, reason = "other tests use other parts of it")]
#[path = "../remote/sshd.rs"]
mod sshd;
mod weights;
mod world;

use world::{Instances, World as _};

macro_rules! promises_of {
    ($($name:ident: $world:ty),* $(,)?) => { $(
        mod $name {
            use super::*;
            promises_of!(@each $world: reads, out_is_out_and_in_is_in, a_request_under_way_is_finished,
                what_somebody_else_took_out_stays_out, an_order_that_was_given_up_is_mended_by_the_next,
                two_orders_at_once_do_not_undo_each_other, orders_about_others_do_not_make_it_seem_undone,
                a_balancer_that_was_gone_is_read_anew, a_check_changes_nothing,
                a_spare_instance_comes_and_goes);
        }
    )* };
    (@each $world:ty: $($promise:ident),*) => { $(
        #[tokio::test]
        async fn $promise() {
            let Some(world) = <$world>::new(Instances::start().await).await else { return };
            promises::$promise(world).await;
        }
    )* };
}

macro_rules! weights_of {
    ($($name:ident: $world:ty),* $(,)?) => { $(
        mod $name {
            use super::*;
            weights_of!(@each $world: a_weight_is_a_share_of_the_requests, weights_hold_while_one_is_out,
                who_was_taken_out_by_its_weight_stays_out, what_was_served_is_what_was_sent);
        }
    )* };
    (only $name:ident: $world:ty: $($promise:ident),*) => {
        mod $name {
            use super::*;
            weights_of!(@each $world: $($promise),*);
        }
    };
    (@each $world:ty: $($promise:ident),*) => { $(
        #[tokio::test]
        async fn $promise() {
            let Some(world) = <$world>::new(Instances::start().await).await else { return };
            weights::$promise(world).await;
        }
    )* };
}

weights_of! {
    weights_by_haproxy: haproxy::Haproxy,
    weights_by_the_demo: demo::Demo,
}

// nginx knows no weight of 0, and counts nothing by server.
weights_of!(only weights_by_nginx: nginx::Nginx: a_weight_is_a_share_of_the_requests, weights_hold_while_one_is_out);
weights_of!(only weights_by_nginx_over_ssh: nginx::OverSsh: a_weight_is_a_share_of_the_requests);

promises_of! {
    by_nginx: nginx::Nginx,
    by_nginx_over_ssh: nginx::OverSsh,
    by_the_demo: demo::Demo,
    by_caddy: caddy::Caddy,
    by_haproxy: haproxy::Haproxy,
    by_a_command: haproxy::ByCommand,
    by_requests: haproxy::ByHttp,
}

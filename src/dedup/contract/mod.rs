//! The contract of a [`Store`] as a suite of tests for any implementation. `tests/suite/stores.rs` runs it on every store of
//! this crate, each scenario as a test.
//!
//! Each function is one scenario. It uses ids of its own, and panics when the store breaks the contract. [`all`] runs them one
//! after the other, and [`every_store_scenario!`](crate::every_store_scenario) makes what you like of each.

mod scenarios;

use std::sync::Arc;

use super::Store;

/// Calls the macro `$then` with `$before`, and behind it the names of all scenarios of
/// [`dedup::contract`](crate::dedup::contract), separated by spaces. This is the one list of them.
///
/// ```
/// macro_rules! count {
///     ($($scenario:ident)*) => { [$(stringify!($scenario)),*].len() };
/// }
/// assert!(slack_ingress::every_store_scenario!(count,) > 0);
/// ```
#[macro_export]
macro_rules! every_store_scenario {
    ($then:ident, $($before:tt)*) => {
        $then! { $($before)*
            first_claim_wins
            of_many_at_once_one_wins
            a_repeated_write_is_the_owners
            a_confirmed_event_is_forwarded
            confirming_twice_is_confirming
            a_deleted_event_is_free
            a_forwarded_event_cannot_be_deleted
            a_lease_that_is_past_is_taken_over
            a_stale_owner_changes_nothing
            confirming_a_deleted_event_brings_nothing_back
            an_expired_record_is_free_before_any_sweep
            a_parked_event_is_kept_until_it_is_confirmed
            a_parked_event_is_taken_by_one_at_a_time
            a_repeated_take_is_the_takers
            a_stale_taker_changes_nothing
            only_a_parked_event_is_taken
            a_large_message_is_kept_to_the_letter
            only_the_owner_of_an_event_in_flight_parks_it
            an_event_left_in_flight_is_kept_and_taken_when_the_holder_is_dead
            a_confirm_removes_the_event_that_was_left
            a_holder_that_gives_up_leaves_the_event_parked
            nothing_is_left_where_there_is_no_record
            a_delete_and_a_leave_at_once_lose_nothing
            an_event_is_listed_in_the_shard_of_its_conversation
            a_shard_is_listed_page_by_page
            pending_is_in_the_order_of_receipt
            seen_tells_of_every_live_record
            warming_up_changes_nothing
            ids_are_kept_apart_to_the_letter
        }
    };
}

macro_rules! export_and_run {
    ($($scenario:ident)*) => {
        // A scenario that the list leaves out is not exported either, so the compiler says that nothing uses it.
        pub use self::scenarios::{$($scenario),*};

        /// Runs every scenario, one after the other.
        pub async fn all<S: Store + 'static>(store: Arc<S>) {
            $($scenario(Arc::clone(&store)).await;)*
        }
    };
}

every_store_scenario!(export_and_run,);

//! One suite of cases that every store must pass.
//!
//! A store crate implements [`Bench`] and [`Factory`] and writes `wheelhouse_testkit::conformance_suite!(MyFactory);`
//! in a test file: one `#[test]` a case. After each case the store is audited as a whole ([`history::audit`]): the
//! history obeys its rules and tells the same states as the tables, the counts equal a recount.
//!
//! [`compare`] plays a random trace to two stores and compares everything they answer and show. What can only be
//! driven below the port (a damaged row, a full disk, a second writer) is the store crate's own to test.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the suite is test code that other crates' tests call: a panic is how a case fails"
)]

pub mod build;
pub mod compare;
pub mod dice;
pub mod history;
pub mod traffic;
pub mod trial;

pub mod approvals;

mod attempts;
mod audit;
mod cancel;
mod chains;
mod claims;
mod crew;
mod crew_money;
mod crew_random;
pub mod dag;
mod holds;
mod leases;
mod money;
mod once;
mod questions;
mod reading;
mod recovery;
mod retention;
mod retry;
mod runs;
mod submissions;
mod sums;
mod workflows;

use wheelhouse_core::store::Store;

use crate::memory::TestClock;
use trial::Trial;

/// Makes stores for the suite.
pub trait Factory {
    /// An empty store that tells the time by `clock`.
    fn open(&self, clock: TestClock) -> Box<dyn Bench>;
}

/// A store that can be lost and opened again.
pub trait Bench {
    /// The store.
    fn store(&mut self) -> &mut dyn Store;
    /// Drops the store as a crash would, without a farewell, and opens what is left of it.
    fn reopen(&mut self);
}

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    play: fn(&mut Trial),
}

impl Case {
    /// Plays the case on a fresh store and audits what it leaves.
    ///
    /// # Panics
    /// When the store does not pass.
    pub fn run(&self, factory: &dyn Factory) {
        let mut trial = Trial::new(factory);
        (self.play)(&mut trial);
        let faults = history::audit(trial.reader().as_mut());
        assert!(faults.is_empty(), "after {}:\n{}", self.name, faults.join("\n"));
    }
}

/// Declares the cases once: as a list for programs and as a macro for test files. `$d` is a dollar sign.
macro_rules! suite {
    ($d:tt $($room:ident: $($case:ident)*;)*) => {
        /// All cases.
        pub fn cases() -> Vec<Case> {
            vec![$($(Case { name: stringify!($case), play: $room::$case },)*)*]
        }

        /// Plays one case by its name; what [`conformance_suite`](crate::conformance_suite) calls.
        ///
        /// # Panics
        /// When there is no such case, or the store does not pass it.
        pub fn run_case(name: &str, factory: &dyn Factory) {
            let case = cases().into_iter().find(|case| case.name == name);
            case.unwrap_or_else(|| panic!("no case is called {name}")).run(factory);
        }

        /// One `#[test]` a conformance case, on stores made by the given [`Factory`](crate::conformance::Factory).
        #[macro_export]
        macro_rules! conformance_suite {
            ($d factory:expr) => {
                $($(
                    #[test]
                    fn $case() {
                        $crate::conformance::run_case(stringify!($case), &$d factory);
                    }
                )*)*
            };
        }
    };
}

suite! { $
    once:
        a_wish_under_a_key_is_granted_once_and_answered_again
        a_key_is_for_one_wish_and_a_refused_one_leaves_it_free
        keys_are_forgotten_with_the_runs_of_their_time;
    submissions:
        a_run_begins_with_what_needs_nothing
        a_refused_submission_leaves_nothing
        needs_may_point_forward_and_be_said_twice
        names_are_unique_within_a_run_and_free_across_runs
        circles_are_refused
        an_empty_run_is_finished_at_once
        a_standing_run_never_finishes
        tasks_join_a_run_where_its_tasks_stand
        adding_nothing_changes_nothing
        added_tasks_open_a_finished_run_again
        submitted_work_survives_a_crash_before_anybody_heard_of_it
        a_refused_command_hurts_no_neighbour;
    claims:
        highest_priority_first_then_oldest
        priorities_hold_across_runs_and_agents
        no_more_than_the_limit
        caps_count_the_running_tasks_of_all_owners
        a_cap_may_span_agents
        a_stuck_head_does_not_block_those_behind_it
        overlapping_write_sets_do_not_run_together
        write_sets_hold_across_runs
        a_conflict_ends_with_the_task_it_names
        one_claim_holds_a_bounded_number_of_conflicts
        a_held_task_wakes_at_its_moment
        a_claim_says_when_to_ask_again;
    chains:
        a_breaker_holds_who_has_nobody_else_and_a_single_probe_decides
        those_who_wait_for_a_probe_go_on_with_its_end
        a_probe_that_is_given_back_leaves_its_place_to_the_next
        a_barred_link_is_passed_over_in_the_same_claim
        a_failure_of_ours_says_nothing_about_the_agent
        a_link_has_its_own_model_and_its_own_count
        a_deadline_does_not_run_while_a_task_is_put_off
        a_used_up_account_is_passed_over_or_waited_for_as_the_policy_says
        one_claim_holds_a_bounded_number_of_barred_tasks
        the_best_of_weak_answers_is_the_result;
    leases:
        a_stale_ack_after_a_reclaim_is_refused
        an_ack_after_expiry_is_refused_without_a_reclaim
        a_renewal_after_expiry_is_refused
        a_heartbeat_prolongs_the_lease
        the_same_worker_restarted_is_somebody_else
        a_draining_process_of_the_same_name_cannot_write
        a_lease_ends_at_its_moment_exactly
        a_clock_set_back_stretches_no_wait
        a_clock_that_jumps_ahead_voids_leases_and_loses_no_work
        every_write_needs_the_lease
        a_settled_task_cannot_be_settled_again
        one_timeout_in_a_leased_batch_hurts_no_neighbour
        the_reaper_finds_the_expired_behind_ten_thousand_live_ones
        a_task_given_back_is_ready_at_once
        fences_grow_with_every_claim;
    attempts:
        a_counted_failure_begins_a_new_try
        a_repeated_try_keeps_its_number
        quota_does_not_count_as_a_try
        another_agent_starts_its_own_count
        the_session_is_remembered_for_each_agent
        what_identifies_a_try_is_kept
        the_end_of_a_try_is_kept_with_it
        reports_are_kept_in_the_history
        usage_and_cost_add_up_over_the_run
        artifacts_and_results_are_stored_with_the_end;
    dag:
        a_task_waits_for_all_it_needs
        a_failure_skips_everything_behind_it
        the_root_of_a_skip_is_named
        a_diamond_is_skipped_once
        a_failure_that_continues_lets_dependants_run
        a_cancelled_parent_skips
        planned_tasks_join_in_the_commit_of_the_planner
        a_planner_with_an_invalid_plan_settles_nothing
        a_long_chain_is_promoted_and_skipped
        random_dags_end_with_exactly_the_right_skips;
    workflows:
        a_workflow_waits_for_its_children_and_goes_on_under_its_try
        some_children_may_still_be_open
        children_come_with_the_wait_or_not_at_all
        cancelling_a_workflow_cancels_what_it_began
        a_workflow_that_is_to_stop_adds_nothing
        a_run_with_a_workflow_is_cancelled_whole
        a_workflow_is_retried_and_its_children_are_not
        a_paused_run_holds_a_workflow_that_could_go_on
        children_are_held_to_the_budget_of_their_workflow;
    holds:
        a_paused_run_starts_nothing_and_what_runs_goes_on
        promotion_in_a_paused_run_is_held
        waking_in_a_paused_run_is_held
        pausing_and_resuming_twice_is_once
        a_pause_ends_with_the_last_task
        a_held_conflict_of_a_paused_run_is_released_into_the_pause
        retries_wait_for_their_moment;
    questions:
        a_running_try_asks_and_is_told_once
        words_for_a_running_try_keep_their_order
        what_a_try_asked_ends_with_it
        an_approval_is_asked_before_the_first_start
        an_approved_task_is_not_asked_for_again
        a_denied_approval_cancels_and_skips
        a_denied_task_that_is_retried_is_asked_for_again
        an_approval_waits_for_the_needs_and_the_pause
        a_failure_can_be_asked_about_and_retried
        a_failure_can_be_given_up
        a_failure_can_be_gone_on_without
        a_delivered_answer_is_recorded
        a_question_is_answered_once
        a_question_ends_with_its_task;
    cancel:
        what_has_not_started_is_cancelled_at_once
        what_runs_is_asked_to_stop
        an_ack_racing_a_cancel_is_refused
        a_cancel_racing_a_promotion_wins_or_loses_whole
        a_cancelled_run_ends_when_its_last_worker_does
        a_lost_worker_does_not_undo_a_cancel
        a_cancelled_settlement_is_the_end
        cancelling_what_is_over_is_refused;
    retry:
        a_failed_task_is_tried_again
        its_skipped_dependants_wait_again
        those_skipped_for_another_cause_stay
        two_causes_take_two_retries
        a_task_behind_a_failure_cannot_be_retried
        a_succeeded_or_open_task_cannot_be_retried
        a_run_is_retried_whole
        a_retry_of_a_continued_failure_does_not_release_early
        a_finished_run_is_opened_again
        a_retry_in_a_paused_run_is_held
        a_cancelled_task_can_be_retried;
    recovery:
        a_successor_takes_back_what_others_ran
        a_survivor_keeps_its_own
        interrupted_runs_wait_for_resume
        an_idle_standing_run_is_not_interrupted
        a_person_who_paused_is_not_overruled
        recovery_twice_is_recovery_once
        a_crash_between_any_two_commands_loses_nothing;
    runs:
        a_run_finishes_with_its_last_task
        counts_follow_every_state
        two_runs_do_not_mix
        unknown_ids_are_refused;
    reading:
        pages_of_tasks
        tasks_by_state_oldest_first
        newest_runs_first
        events_page_by_cursor
        events_of_one_run_or_all
        a_reader_sees_each_commit_at_once
        what_is_not_there_is_none
        text_comes_back_byte_for_byte
        the_store_keeps_its_name;
    crew:
        a_message_becomes_a_turn_and_they_keep_their_order
        turns_go_on_in_their_session
        a_repetition_is_known_by_its_key
        a_full_mailbox_is_the_senders_error
        nobody_touches_what_is_not_below
        trust_is_the_trees_word
        an_interrupt_ends_the_turn_and_not_the_instance
        an_interrupted_turn_of_a_lost_worker_is_not_repeated
        ending_takes_the_whole_tree_deepest_first
        at_the_cap_instances_wait_for_their_place
        children_of_one_wait_while_others_begin
        who_waits_for_those_below_lends_its_place
        a_message_may_come_after_others
        a_spawn_waits_for_its_approval
        a_question_is_what_its_instance_waits_for
        the_idle_are_put_aside_and_woken
        the_policy_bounds_what_is_spawned
        everything_can_be_stopped
        work_can_be_given_to_several
        a_turn_is_not_retried
        a_crew_survives_a_crash_between_any_two_commands;
    crew_random:
        random_crews_never_block;
    approvals:
        approvals_in_the_deep_never_block;
    crew_money:
        an_instances_budget_holds_everybody_below_it
        a_turn_leaves_money_for_those_below_it
        the_crews_limits_hold_all_instances_and_begin_anew_when_they_are_set;
    money:
        without_a_budget_nothing_is_reserved
        a_try_reserves_before_it_begins_and_settles_what_it_cost
        a_thousand_reservations_on_one_budget_never_exceed_it
        the_narrowest_of_nested_budgets_decides
        who_waits_for_a_reservation_goes_on_when_it_is_given_back
        what_is_used_up_is_held_until_a_person_raises_it
        a_persons_limit_wins_over_the_configured_one
        a_session_begins_with_its_owner
        a_day_ends_and_its_budget_is_whole_again
        a_clock_set_back_begins_no_day_again
        a_running_try_takes_more_while_there_is_more
        a_try_stopped_at_its_line_goes_on_when_there_is_more
        an_owner_that_dies_gives_back_and_what_it_used_is_booked
        what_is_given_back_says_what_it_used
        a_turn_reported_twice_counts_once
        unknown_is_counted_by_what_is_assumed
        who_costs_nothing_needs_no_money
        three_of_a_kind_make_an_estimate
        a_used_up_account_holds_all_its_agents_and_no_other
        a_limit_in_sight_is_kept_and_holds_nobody
        the_work_of_a_day_is_summed
        the_ledger_outlives_its_run;
    sums:
        a_ledger_summed_every_way_gives_one_number
        the_ledger_of_a_run_knows_its_tasks_and_models
        who_worked_together_is_told_by_run
        tries_are_told_with_what_needs_what;
    retention:
        finished_runs_are_pruned_with_all_that_hangs_on_them
        open_and_recent_runs_stay
        shared_artifacts_stay_with_the_last_that_refers
        artifacts_of_earlier_tries_stay_with_their_task
        cursors_and_ids_are_never_used_again
        what_was_learned_outlives_its_run;
}

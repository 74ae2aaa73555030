//! The backends of Claude Code and Codex over a program that says again what the real one said, and misbehaves: what
//! they share is one set of scenarios, played by each agent of one table (`cast`); what only one of them does stands
//! alone.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alone;
mod cast;
mod scenarios;

#[path = "../programs/rig.rs"]
mod rig;

/// Which agent plays what.
macro_rules! plays {
    ($($module:ident is $agent:ident: $($scenario:ident)*;)*) => {$(
        mod $module {
            $(
                #[tokio::test]
                async fn $scenario() {
                    crate::scenarios::$scenario(&crate::cast::$agent).await;
                }
            )*
        }
    )*};
}

plays! {
    claude is CLAUDE:
        a_turn_is_told_and_ends_in_its_session a_permission_is_asked_and_allowed
        a_refusal_reaches_the_program_as_a_no an_interrupt_ends_the_turn_and_keeps_the_session
        an_ignored_interrupt_ends_by_signals_and_the_session_stays a_stop_is_asked_for_first
        garbage_is_kept_and_counted_and_harms_nothing an_exit_with_nothing_is_empty
        a_missing_program_says_what_to_do death_in_the_middle_keeps_the_session
        a_stall_says_nothing_until_the_engine_acts dropping_a_try_kills_its_process;
    codex is CODEX:
        a_turn_is_told_and_ends_in_its_session a_permission_is_asked_and_allowed
        a_refusal_reaches_the_program_as_a_no an_interrupt_ends_the_turn_and_keeps_the_session
        an_ignored_interrupt_ends_by_signals_and_the_session_stays a_stop_is_asked_for_first
        garbage_is_kept_and_counted_and_harms_nothing an_exit_with_nothing_is_empty
        a_missing_program_says_what_to_do death_in_the_middle_keeps_the_session
        a_stall_says_nothing_until_the_engine_acts dropping_a_try_kills_its_process;
    codex_exec is CODEX_EXEC:
        a_turn_is_told_and_ends_in_its_session an_exit_with_nothing_is_empty a_missing_program_says_what_to_do
        garbage_is_kept_and_counted_and_harms_nothing death_in_the_middle_keeps_the_session
        a_stall_says_nothing_until_the_engine_acts dropping_a_try_kills_its_process;
}

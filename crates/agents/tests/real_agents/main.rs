//! The backends with the real programs against the fake model: what they share is one set of scenarios, played by each
//! agent of one table (`cast`); what only one of them does stands alone. Run by hand:
//! `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-agents -- --ignored real_agents`, or with the name of one,
//! `real_agents_codex`.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod alone;
mod cast;
mod scenarios;

#[path = "../programs/real.rs"]
mod real;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../programs/rig.rs"]
mod rig;

/// Which agent plays what. What is missing in a row the agent cannot do, and its page says so.
macro_rules! plays {
    ($($module:ident is $agent:ident: $($scenario:ident)*;)*) => {$(
        mod $module {
            $(
                #[tokio::test]
                #[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
                async fn $scenario() {
                    if crate::cast::is_here(&crate::cast::$agent) {
                        crate::scenarios::$scenario(&crate::cast::$agent).await;
                    }
                }
            )*
        }
    )*};
}

plays! {
    real_agents_claude is CLAUDE:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        rate_limit stalled_stream truncated_stream failures_have_their_class a_refused_connection;
    real_agents_codex is CODEX:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        rate_limit stalled_stream truncated_stream failures_have_their_class a_refused_connection;
    real_agents_codex_exec is CODEX_EXEC:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit unknown_session rate_limit truncated_stream failures_have_their_class
        a_refused_connection;
    real_agents_gemini is GEMINI:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        stalled_stream truncated_stream failures_have_their_class;
    real_agents_opencode is OPENCODE:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        rate_limit stalled_stream truncated_stream failures_have_their_class;
    real_agents_adapter_claude is CLAUDE_ADAPTER:
        simple_turn servers_of_the_repository_stay_unstarted file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        rate_limit stalled_stream truncated_stream failures_have_their_class a_refused_connection;
    real_agents_adapter_codex is CODEX_ADAPTER:
        simple_turn file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        rate_limit stalled_stream truncated_stream failures_have_their_class a_refused_connection;
    real_agents_copilot is COPILOT:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        rate_limit stalled_stream truncated_stream failures_have_their_class a_refused_connection;
    real_agents_qwen is QWEN:
        simple_turn servers_of_the_repository_stay_unstarted version file_edit permission_both_ways interrupt_and_go_on words_in_the_middle
        resume_after_kill resume_after_its_keeper_was_killed unknown_session
        stalled_stream truncated_stream failures_have_their_class a_refused_connection;
}

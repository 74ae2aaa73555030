//! Every SQL statement of the store, in one place, so that one test can prepare them all against a fresh schema.

/// Declares the statements and, for the test, the list of them.
macro_rules! statements {
    ($($name:ident = $sql:expr;)*) => {
        $(pub(crate) const $name: &str = $sql;)*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// The columns of a task as [`crate::rows::TaskRow::read`] takes them, from a table called `t`.
macro_rules! task_columns {
    () => {
        "t.id, t.run, t.state, t.pending, t.rank, t.agent, t.attempt, t.on_agent, t.fence, t.flags, t.held, \
         t.outcome, t.detail, t.started_at, t.done_at, t.link, t.since"
    };
}

/// The columns of a run as [`crate::rows::RunRow::read`] takes them.
macro_rules! run_columns {
    () => {
        "id, standing, state, submitted_at, finished_at, waiting, ready, running, held, succeeded, failed, skipped, \
         cancelled, input, cache_read, cache_write, output, reasoning, usage_source, cost_nano, cost_unknown, \
         task_first, task_last, event_first, event_last"
    };
}

/// The columns of a lease as [`crate::rows::LeaseRow::read`] takes them.
macro_rules! lease_columns {
    () => {
        "task, fence, agent, number, begun, session, pid, ticks, started_at, cancel, blocks, mail, breaker, ticket"
    };
}

/// A task as people see it; what [`crate::view::task_view`] takes.
macro_rules! task_view {
    () => {
        concat!(
            "SELECT ",
            task_columns!(),
            ", n.text, s.key, s.body, h.until, h.question, b.key, l.cancel, g.scope FROM task t \
             JOIN spec s ON s.task = t.id JOIN name n ON n.id = t.agent LEFT JOIN hold h ON h.task = t.id \
             LEFT JOIN spec b ON b.task = h.blocker LEFT JOIN lease l ON l.task = t.id \
             LEFT JOIN budget g ON g.id = h.budget "
        )
    };
}

/// The columns of an instance as [`crate::crew::rows::instance`] takes them.
macro_rules! instance_columns {
    () => {
        "id, run, parent, depth, spec, rights, key, stage, ended_as, turn, message, flags, turns, queued, notes, \
         wants, active_below, session, outcome, detail, usage, cost_nano, cost_unknown, spawned_at, active_at, ended_at"
    };
}

/// An instance as people see it: its row, and what is known of its turn.
macro_rules! instance_view {
    () => {
        "SELECT i.id, i.run, i.parent, i.depth, i.spec, i.rights, i.key, i.stage, i.ended_as, i.turn, i.message, \
         i.flags, i.turns, i.queued, i.notes, i.wants, i.active_below, i.session, i.outcome, i.detail, i.usage, \
         i.cost_nano, i.cost_unknown, i.spawned_at, i.active_at, i.ended_at, t.state, t.held, \
         (SELECT min(q.id) FROM question q WHERE q.open = 1 AND q.task = i.turn) \
         FROM instance i LEFT JOIN task t ON t.id = i.turn "
    };
}

/// The columns of a message as [`crate::crew::rows::message`] takes them.
macro_rules! message_columns {
    () => {
        "id, sender, recipient, trust, kind, correlation, coordination, after, text, key, sent_at, over_at, state, \
         task, outcome, detail"
    };
}

/// The columns of a budget as [`crate::money::BudgetRow::read`] takes them.
macro_rules! budget_columns {
    () => {
        "id, scope, configured_nano, own_nano, raised_nano, window, reserved_nano, spent_nano, assumed_nano, warned"
    };
}

macro_rules! question_view {
    () => {
        "SELECT q.id, q.run, q.task, s.key, q.kind, q.text, q.asked_at, q.answer FROM question q \
         JOIN spec s ON s.task = q.task "
    };
}

statements! {
    // Wishes under a key of their caller's.
    ONCE = "SELECT digest, run, tasks FROM once WHERE key = ?1";
    ONCE_SET = "INSERT INTO once (key, digest, at, run, tasks) VALUES (?1, ?2, ?3, ?4, ?5)";
    PRUNE_ONCE = "DELETE FROM once WHERE at < ?1";
    // The counters and names.
    COUNTER = "SELECT run, task, question, event, at, steady FROM counter";
    COUNTER_SET = "UPDATE counter SET run = ?1, task = ?2, question = ?3, event = ?4, at = ?5, steady = ?6";
    BOOT = "SELECT boot FROM counter";
    BOOT_SET = "UPDATE counter SET boot = ?1, steady = 0";
    BOOT_LEASES_VOID = "UPDATE lease SET until = -1";
    NAME_ID = "SELECT id FROM name WHERE text = ?1";
    NAME_TEXT = "SELECT text FROM name WHERE id = ?1";
    NAME_ADD = "INSERT INTO name (text) VALUES (?1)";

    // Runs.
    RUN = concat!("SELECT ", run_columns!(), " FROM run WHERE id = ?1");
    RUN_ADD = "INSERT INTO run (id, name, source, standing, state, submitted_at, waiting, ready, running, held, \
        succeeded, failed, skipped, cancelled, input, cache_read, cache_write, output, reasoning, cost_nano, \
        cost_unknown, task_first, task_last, event_first, event_last) \
        VALUES (?1, ?2, ?3, ?4, 0, ?5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?6, ?6, ?7, ?7)";
    RUN_SPEC_ADD = "INSERT INTO run_spec (run, body) VALUES (?1, ?2)";
    RUN_SET = "UPDATE run SET state = ?2, finished_at = ?3, waiting = ?4, ready = ?5, running = ?6, held = ?7, \
        succeeded = ?8, failed = ?9, skipped = ?10, cancelled = ?11, input = ?12, cache_read = ?13, \
        cache_write = ?14, output = ?15, reasoning = ?16, usage_source = ?17, cost_nano = ?18, cost_unknown = ?19, \
        task_last = ?20, event_last = ?21 WHERE id = ?1";
    RUNS_IN_STATE = "SELECT id FROM run WHERE state = ?1 ORDER BY id";
    RUNS_OPEN = "SELECT id FROM run WHERE state = 0 AND waiting + ready + running + held > 0 ORDER BY id";
    RUNS_FINISHED_BEFORE = "SELECT id FROM run WHERE finished_at < ?1 ORDER BY id";

    // Tasks.
    TASK = concat!("SELECT ", task_columns!(), " FROM task t WHERE t.id = ?1");
    TASK_ADD = "INSERT INTO task (id, run, state, pending, rank, agent, attempt, on_agent, fence, flags) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, ?7)";
    TASK_SET = "UPDATE task SET state = ?2, pending = ?3, agent = ?4, attempt = ?5, on_agent = ?6, fence = ?7, \
        flags = ?8, held = ?9, outcome = ?10, detail = ?11, started_at = ?12, done_at = ?13, link = ?14, since = ?15 \
        WHERE id = ?1";
    TASKS_WAITING = "SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state = 0 ORDER BY id";
    TASKS_READY = "SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state = 1 ORDER BY id";
    TASKS_PAUSED = "SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state = 3 AND held = 1 ORDER BY id";
    TASKS_OPEN = "SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state < 4 ORDER BY id";
    TASKS_UNSUCCESSFUL = "SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state = 4 AND outcome <> 1 \
        ORDER BY id";
    TASKS_SKIPPED_BY = "SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state = 4 AND outcome = 20 \
        AND detail = ?4 ORDER BY id";
    SPEC_ADD = "INSERT INTO spec (task, run, key, body) VALUES (?1, ?2, ?3, ?4)";
    SPEC = "SELECT key, body FROM spec WHERE task = ?1";
    KEY = "SELECT key FROM spec WHERE task = ?1";
    TASK_OF_KEY = "SELECT task FROM spec WHERE run = ?1 AND key = ?2";
    DEP_ADD = "INSERT INTO dep (parent, child) VALUES (?1, ?2)";
    CHILDREN = concat!(
        "SELECT ", task_columns!(), " FROM dep d JOIN task t ON t.id = d.child WHERE d.parent = ?1 ORDER BY d.child"
    );

    // The children of a workflow: their names begin with its name and a dot, and `0x2f` follows the dot.
    CHILDREN_OF_WORKFLOW = "SELECT c.task FROM spec p JOIN spec c ON c.run = p.run AND c.key > p.key || '.' \
        AND c.key < p.key || '/' JOIN task t ON t.id = c.task WHERE p.task = ?1 AND t.flags & 32";
    OPEN_KEYS_OF_WORKFLOW = "SELECT c.task, c.key FROM spec p JOIN spec c ON c.run = p.run AND c.key > p.key || '.' \
        AND c.key < p.key || '/' JOIN task t ON t.id = c.task WHERE p.task = ?1 AND t.flags & 32 AND t.state <> 4";
    OPEN_OF_WORKFLOW = "SELECT c.task FROM spec p JOIN spec c ON c.run = p.run AND c.key > p.key || '.' \
        AND c.key < p.key || '/' JOIN task t ON t.id = c.task WHERE p.task = ?1 AND t.flags & 32 AND t.state <> 4";

    // Ready, leased, held.
    READY_ADD = "INSERT INTO ready (agent, rank, task) VALUES (?1, ?2, ?3)";
    READY_REMOVE = "DELETE FROM ready WHERE agent = ?1 AND rank = ?2 AND task = ?3";
    READY_LANE_AFTER = "SELECT agent FROM ready WHERE agent > ?1 ORDER BY agent LIMIT 1";
    READY_PAGE = concat!(
        "SELECT ", task_columns!(), ", s.key, s.body FROM ready r JOIN task t ON t.id = r.task \
         JOIN spec s ON s.task = r.task WHERE r.agent = ?1 AND (r.rank, r.task) > (?2, ?3) \
         ORDER BY r.rank, r.task LIMIT ?4"
    );
    LEASE_VALID = concat!(
        "SELECT ", lease_columns!(), " FROM lease WHERE task = ?1 AND fence = ?2 AND until > ?3"
    );
    LEASE_ADD = "INSERT INTO lease (task, fence, owner, until, agent, number, begun, session, pid, ticks, started_at, \
        cancel, writes, blocks, breaker, ticket) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, ?12, ?13, ?14, \
        ?15)";
    LEASE_REMOVE = "DELETE FROM lease WHERE task = ?1";
    LEASE_START = "UPDATE lease SET session = coalesce(?2, session), pid = coalesce(?3, pid), \
        ticks = coalesce(?4, ticks) WHERE task = ?1";
    LEASE_PROLONG = "UPDATE lease SET until = ?2 WHERE task = ?1";
    LEASE_CANCEL = "UPDATE lease SET cancel = 1 WHERE task = ?1 AND cancel <> 1";
    LEASE_INTERRUPT = "UPDATE lease SET cancel = 2 WHERE task = ?1 AND cancel = 0";
    LEASE_MAIL = "UPDATE lease SET mail = 1 WHERE task = ?1";
    LEASE_BLOCKS = "UPDATE lease SET blocks = 1 WHERE task = ?1";
    LEASES_RUN_OUT = concat!("SELECT ", lease_columns!(), " FROM lease WHERE until <= ?1 ORDER BY task");
    LEASES_OF_OTHERS = concat!("SELECT ", lease_columns!(), " FROM lease WHERE owner <> ?1 ORDER BY task");
    LEASES_PER_AGENT = "SELECT agent, count(*) FROM lease GROUP BY agent";
    LEASES_LENT_PER_AGENT = "SELECT l.agent, count(*) FROM instance i JOIN lease l ON l.task = i.turn \
        WHERE i.turn IS NOT NULL AND i.active_below > 0 GROUP BY l.agent";
    LEASES_LENT = "SELECT count(*) FROM instance i JOIN lease l ON l.task = i.turn \
        WHERE i.turn IS NOT NULL AND i.active_below > 0 AND l.owner = ?1";
    LEASES_WRITING = "SELECT s.task, s.body FROM lease l JOIN spec s ON s.task = l.task WHERE l.writes = 1 \
        ORDER BY l.task";
    HOLD_ADD = "INSERT INTO hold (task, until, question, blocker) VALUES (?1, ?2, ?3, ?4)";
    HOLD_REMOVE = "DELETE FROM hold WHERE task = ?1";
    HOLD_QUESTION = "SELECT question FROM hold WHERE task = ?1";
    HOLDS_DUE = "SELECT task FROM hold WHERE until <= ?1 ORDER BY until, task";
    HOLDS_NEXT = "SELECT min(until) FROM hold WHERE until IS NOT NULL";
    HOLDS_BLOCKED_BY = "SELECT task FROM hold WHERE blocker = ?1 ORDER BY task";

    // Tries and what they produced.
    ATTEMPT_ENDED = "INSERT OR REPLACE INTO attempt (task, number, begun, agent, session, pid, ticks, started_at, \
        ended_at, outcome, detail, usage, cost, cost_nano, result) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    ATTEMPT_INTERRUPTED = "INSERT INTO attempt (task, number, begun, agent, session, pid, ticks, started_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (task, number) DO UPDATE SET begun = excluded.begun, \
        agent = excluded.agent, session = excluded.session, pid = excluded.pid, ticks = excluded.ticks, \
        started_at = excluded.started_at, ended_at = NULL";
    ATTEMPT_REPEATED = "SELECT begun, agent, session, pid, ticks FROM attempt WHERE task = ?1 AND number = ?2";
    ATTEMPT_SESSION = "SELECT session FROM attempt WHERE task = ?1 AND agent = ?2 AND session IS NOT NULL \
        ORDER BY number DESC LIMIT 1";
    ATTEMPT_OUTCOME = "SELECT outcome, detail FROM attempt WHERE task = ?1 AND number = ?2 AND outcome IS NOT NULL";
    ARTIFACT_BY_HASH = "SELECT id, bytes IS NULL FROM artifact WHERE hash = ?1";
    ARTIFACT_ADD = "INSERT INTO artifact (hash, uses, bytes) VALUES (?1, 0, ?2)";
    ARTIFACT_FILL = "UPDATE artifact SET bytes = ?2 WHERE id = ?1";
    ARTIFACT_USED = "UPDATE artifact SET uses = uses + 1 WHERE id = ?1";
    ARTIFACT_USE_ADD = "INSERT OR IGNORE INTO artifact_use (task, artifact) VALUES (?1, ?2)";

    // Questions.
    QUESTION_ADD = "INSERT INTO question (id, run, task, kind, text, asked_at, open) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)";
    QUESTION_OPEN = "SELECT task FROM question WHERE id = ?1 AND open = 1";
    QUESTION_ANSWERED = "UPDATE question SET open = 0, answer = ?2 WHERE id = ?1";
    QUESTION_VOID = "UPDATE question SET open = 0 WHERE id = ?1";

    QUESTION_REQUEST = "UPDATE question SET request = ?2 WHERE id = ?1";
    QUESTION_HAS_REQUEST = "SELECT request IS NOT NULL FROM question WHERE id = ?1";
    QUESTIONS_VOID = "UPDATE question SET open = 0 WHERE open = 1 AND task = ?1 AND request IS NOT NULL";
    MAIL_ADD = "INSERT INTO mail (task, question, text) VALUES (?1, ?2, ?3)";
    MAIL = "SELECT m.text, q.kind, q.request FROM mail m LEFT JOIN question q ON q.id = m.question \
        WHERE m.task = ?1 ORDER BY m.id";
    MAIL_REMOVE = "DELETE FROM mail WHERE task = ?1";

    // Money.
    LEDGER_ADD = "INSERT INTO ledger (at, run, task, attempt, agent, model, account, kind, turn, input, cache_read, \
        cache_write, output, reasoning, usage_source, cost, cost_nano, assumed_nano) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
    LEDGER_TURN = "SELECT ifnull(sum(input), 0), ifnull(sum(cache_read), 0), ifnull(sum(cache_write), 0), \
        ifnull(sum(output), 0), ifnull(sum(reasoning), 0), ifnull(sum(cost_nano), 0), ifnull(sum(assumed_nano), 0) \
        FROM ledger WHERE turn = ?1";
    LEDGER_SPENT_RUN = "SELECT ifnull(sum(CASE WHEN cost IN (1, 2) THEN cost_nano END), 0), \
        ifnull(sum(assumed_nano), 0) FROM ledger WHERE run = ?1";
    LEDGER_SPENT_TASK = "SELECT ifnull(sum(CASE WHEN cost IN (1, 2) THEN cost_nano END), 0), \
        ifnull(sum(assumed_nano), 0) FROM ledger WHERE task = ?1 OR task IN (SELECT c.task FROM spec p JOIN spec c \
        ON c.run = p.run AND c.key > p.key || '.' AND c.key < p.key || '/' JOIN task t ON t.id = c.task \
        WHERE p.task = ?1 AND t.flags & 32)";
    LEDGER_SPENT_SINCE = "SELECT ifnull(sum(CASE WHEN cost IN (1, 2) THEN cost_nano END), 0), \
        ifnull(sum(assumed_nano), 0) FROM ledger WHERE at >= ?1";
    LEDGER_LAST_OF_TASK = "SELECT agent, ifnull(model, 0), kind, ifnull(account, 0) FROM ledger WHERE task = ?1 \
        ORDER BY id DESC LIMIT 1";
    TALLY_ADD = "INSERT INTO tally VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
        ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26) ON CONFLICT DO UPDATE SET \
        entries = entries + excluded.entries, input = input + excluded.input, \
        cache_read = cache_read + excluded.cache_read, cache_write = cache_write + excluded.cache_write, \
        output = output + excluded.output, reasoning = reasoning + excluded.reasoning, \
        usage_source = min(usage_source, excluded.usage_source), actual_nano = actual_nano + excluded.actual_nano, \
        priced_nano = priced_nano + excluded.priced_nano, included = included + excluded.included, \
        unknown = unknown + excluded.unknown, assumed_nano = assumed_nano + excluded.assumed_nano, \
        tries = tries + excluded.tries, wall_ms = wall_ms + excluded.wall_ms, \
        first_try = first_try + excluded.first_try, second_try = second_try + excluded.second_try, \
        reworked = reworked + excluded.reworked, failed = failed + excluded.failed, \
        verified = verified + excluded.verified, rated = rated + excluded.rated, stars = stars + excluded.stars";
    TALLY_UNRATE = "UPDATE tally SET rated = rated - 1, stars = stars - ?6 WHERE agent = ?1 AND model = ?2 \
        AND kind = ?3 AND account = ?4 AND day = ?5";
    TALLY_EXPERIENCE = "SELECT ifnull(sum(tries), 0), ifnull(sum(actual_nano + priced_nano + assumed_nano), 0), \
        ifnull(sum(input + cache_read + cache_write + output + reasoning), 0) FROM tally \
        WHERE agent = ?1 AND (?2 IS NULL OR model = ?2) AND kind = ?3";
    BUDGET_ANY = "SELECT 1 FROM budget LIMIT 1";
    BUDGET = concat!("SELECT ", budget_columns!(), " FROM budget WHERE id = ?1");
    BUDGET_OF = concat!("SELECT ", budget_columns!(), " FROM budget WHERE scope = ?1");
    BUDGET_ADD = "INSERT INTO budget (scope, raised_nano, window, reserved_nano, spent_nano, assumed_nano, warned) \
        VALUES (?1, 0, ?2, 0, ?3, ?4, 0)";
    BUDGET_SET = "UPDATE budget SET configured_nano = ?2, own_nano = ?3, raised_nano = ?4, window = ?5, \
        reserved_nano = ?6, spent_nano = ?7, assumed_nano = ?8, warned = ?9 WHERE id = ?1";
    METER = "SELECT reserved_nano, account, kind, model, turn, usage, cost, cost_nano, assumed_nano FROM meter \
        WHERE task = ?1";
    METER_ADD = "INSERT OR REPLACE INTO meter (task, reserved_nano, account, kind, model, turn, usage, cost, cost_nano, \
        assumed_nano) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    METER_REMOVE = "DELETE FROM meter WHERE task = ?1";
    METER_ON_ADD = "INSERT INTO meter_on (task, budget) VALUES (?1, ?2)";
    METER_ON_REMOVE = "DELETE FROM meter_on WHERE task = ?1";
    METER_BUDGETS = concat!(
        "SELECT ", budget_columns!(), " FROM meter_on o JOIN budget ON id = o.budget WHERE o.task = ?1"
    );
    HOLD_FOR_BUDGET = "UPDATE hold SET budget = ?2 WHERE task = ?1";
    HOLD_FOR_BREAKER = "UPDATE hold SET breaker = ?2 WHERE task = ?1";
    HOLDS_OF_BREAKER = "SELECT task FROM hold WHERE breaker = ?1 ORDER BY task";
    BREAKER = "SELECT body FROM breaker WHERE id = ?1";
    BREAKER_OF = "SELECT id, body FROM breaker WHERE provider = ?1 AND model = ?2 AND credential = ?3";
    BREAKER_ADD = "INSERT INTO breaker (provider, model, credential, body) VALUES (?1, ?2, ?3, ?4)";
    BREAKER_SET = "UPDATE breaker SET body = ?2 WHERE id = ?1";
    HOLDS_OF_BUDGET = "SELECT task FROM hold WHERE budget = ?1 ORDER BY task LIMIT ?2";
    ALLOWANCE_SET = "INSERT INTO allowance (account, window, what, exhausted, resets_at, seen_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET what = excluded.what, \
        exhausted = excluded.exhausted, resets_at = excluded.resets_at, seen_at = excluded.seen_at";
    ALLOWANCES_EXHAUSTED = "SELECT account, max(resets_at) FROM allowance WHERE exhausted = 1 AND resets_at > ?1 \
        GROUP BY account";
    RATING = "SELECT stars, agent, model, kind, account, day FROM rating WHERE task = ?1";
    RATING_SET = "INSERT OR REPLACE INTO rating (task, stars, words, at, agent, model, kind, account, day) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    VIEW_LEDGER = "SELECT l.id, l.at, l.run, l.task, l.attempt, a.text, m.text, c.text, k.text, l.turn, l.input, \
        l.cache_read, l.cache_write, l.output, l.reasoning, l.usage_source, l.cost, l.cost_nano, l.assumed_nano \
        FROM ledger l JOIN name a ON a.id = l.agent LEFT JOIN name m ON m.id = l.model \
        LEFT JOIN name c ON c.id = l.account JOIN name k ON k.id = l.kind WHERE l.id > ?1 ORDER BY l.id LIMIT ?2";
    VIEW_TALLIES = "SELECT a.text, m.text, k.text, c.text, t.* FROM tally t JOIN name a ON a.id = t.agent \
        LEFT JOIN name m ON m.id = t.model JOIN name k ON k.id = t.kind LEFT JOIN name c ON c.id = t.account \
        WHERE t.day BETWEEN ?1 AND ?2";
    VIEW_LEDGER_OF = "SELECT a.text, m.text, k.text, c.text, 0, 0, 0, 0, l.at / 86400000, count(*), sum(l.input), \
        sum(l.cache_read), sum(l.cache_write), sum(l.output), sum(l.reasoning), min(l.usage_source), \
        sum(CASE l.cost WHEN 1 THEN l.cost_nano ELSE 0 END), sum(CASE l.cost WHEN 2 THEN l.cost_nano ELSE 0 END), \
        sum(l.cost = 3), sum(l.cost = 5), sum(l.assumed_nano), 0, 0, 0, 0, 0, 0, 0, 0, 0, l.task \
        FROM ledger l JOIN name a ON a.id = l.agent LEFT JOIN name m ON m.id = l.model \
        JOIN name k ON k.id = l.kind LEFT JOIN name c ON c.id = l.account WHERE l.run = ?1 \
        GROUP BY l.task, l.agent, l.model, l.kind, l.account, l.at / 86400000 ORDER BY max(l.id)";
    VIEW_RATINGS = "SELECT g.task, g.stars FROM rating g JOIN task t ON t.id = g.task WHERE t.run = ?1 ORDER BY g.task";
    VIEW_CREWS = "SELECT DISTINCT run, agent FROM ledger WHERE at BETWEEN ?1 AND ?2";
    VIEW_RUNS_UNDER_WAY = "SELECT id, task_first, task_last FROM run WHERE submitted_at <= ?2 \
        AND (finished_at IS NULL OR finished_at >= ?1) ORDER BY id DESC";
    VIEW_RUN_RANGE = "SELECT id, task_first, task_last FROM run WHERE id = ?1";
    VIEW_TRIES = "SELECT a.task, a.started_at, a.ended_at FROM attempt a JOIN task t ON t.id = a.task \
        WHERE a.task BETWEEN ?2 AND ?3 AND t.run = ?1 AND a.ended_at IS NOT NULL ORDER BY a.task, a.number LIMIT ?4";
    VIEW_NEEDS = "SELECT d.parent, d.child FROM dep d JOIN task t ON t.id = d.parent \
        WHERE d.parent BETWEEN ?2 AND ?3 AND t.run = ?1";
    VIEW_BUDGETS = concat!("SELECT ", budget_columns!(), " FROM budget");
    VIEW_ALLOWANCES = "SELECT n.text, a.window, a.what, a.exhausted, a.resets_at, a.seen_at FROM allowance a \
        JOIN name n ON n.id = a.account";

    // The history.
    EVENT_ADD = "INSERT INTO event (cursor, at, run, task, kind, a, b, c, body) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

    // Removal of a run: ?1 is the run, ?2 to ?3 its range of tasks (or events).
    PRUNE_EVENTS = "DELETE FROM event WHERE cursor BETWEEN ?2 AND ?3 AND run = ?1";
    PRUNE_USES = "UPDATE artifact SET uses = uses - gone.number FROM (SELECT u.artifact AS id, count(*) AS number \
        FROM artifact_use u JOIN task t ON t.id = u.task WHERE u.task BETWEEN ?2 AND ?3 AND t.run = ?1 \
        GROUP BY u.artifact) AS gone WHERE artifact.id = gone.id";
    PRUNE_ARTIFACT_USES = "DELETE FROM artifact_use WHERE task BETWEEN ?2 AND ?3 \
        AND (SELECT run FROM task WHERE id = artifact_use.task) = ?1";
    PRUNE_ATTEMPTS = "DELETE FROM attempt WHERE task BETWEEN ?2 AND ?3 \
        AND (SELECT run FROM task WHERE id = attempt.task) = ?1";
    PRUNE_DEPS = "DELETE FROM dep WHERE parent BETWEEN ?2 AND ?3 AND (SELECT run FROM task WHERE id = dep.parent) = ?1";
    PRUNE_QUESTIONS = "DELETE FROM question WHERE run = ?1";
    PRUNE_RATINGS = "DELETE FROM rating WHERE task BETWEEN ?2 AND ?3 \
        AND (SELECT run FROM task WHERE id = rating.task) = ?1";
    PRUNE_BUDGETS = "DELETE FROM budget WHERE scope IN (SELECT 't' || id FROM task WHERE id BETWEEN ?2 AND ?3 \
        AND run = ?1 UNION ALL SELECT 'r' || ?1)";
    PRUNE_SPECS = "DELETE FROM spec WHERE task BETWEEN ?2 AND ?3 AND run = ?1";
    PRUNE_TASKS = "DELETE FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1";
    PRUNE_RUN_SPEC = "DELETE FROM run_spec WHERE run = ?1";
    PRUNE_RUN = "DELETE FROM run WHERE id = ?1";
    PRUNE_ARTIFACTS = "DELETE FROM artifact WHERE uses = 0 AND bytes IS NOT NULL";
    PRUNE_ARTIFACT_NAMES = "DELETE FROM artifact WHERE uses = 0";

    // Reading.
    VIEW_RUNS = concat!("SELECT ", run_columns!(), ", name, source FROM run ORDER BY id DESC LIMIT ?1");
    VIEW_RUN = concat!("SELECT ", run_columns!(), ", name, source FROM run WHERE id = ?1");
    VIEW_RUN_SPEC = "SELECT r.name, r.source, r.standing, s.body FROM run r JOIN run_spec s ON s.run = r.id \
        WHERE r.id = ?1";
    VIEW_TASKS = concat!(
        task_view!(),
        "WHERE t.id IN (SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 ORDER BY id LIMIT ?5 OFFSET ?4) \
         ORDER BY t.id"
    );
    VIEW_TASKS_IN = concat!(
        task_view!(),
        "WHERE t.id IN (SELECT id FROM task WHERE id BETWEEN ?2 AND ?3 AND run = ?1 AND state = ?4 ORDER BY id \
         LIMIT ?5) ORDER BY t.id"
    );
    VIEW_STEPS_FAILED = "SELECT count(*) FROM task WHERE run = ?1 AND id BETWEEN ?2 AND ?3 AND state = 4 AND flags & 32 \
        AND outcome NOT IN (1, 20)";
    VIEW_TASKS_RUNNING = concat!(
        task_view!(),
        "WHERE t.id IN (SELECT r.id FROM lease x JOIN task r ON r.id = x.task WHERE r.run = ?1 ORDER BY r.id \
         LIMIT ?2) ORDER BY t.id"
    );
    VIEW_TASK = concat!(task_view!(), "WHERE t.id = ?1");
    VIEW_NEED = "SELECT t.state FROM spec s JOIN task t ON t.id = s.task WHERE s.run = ?1 AND s.key = ?2";
    VIEW_ATTEMPTS = "SELECT a.number, a.begun, n.text, a.session, a.started_at, a.ended_at, a.outcome, a.detail, \
        a.usage, a.cost, a.cost_nano FROM attempt a JOIN name n ON n.id = a.agent WHERE a.task = ?1 ORDER BY a.number";
    VIEW_ATTEMPT_UNDER_WAY = "SELECT l.number, l.begun, n.text, l.session, l.started_at FROM lease l \
        JOIN name n ON n.id = l.agent WHERE l.task = ?1";
    VIEW_RESULTS = "SELECT number, outcome, detail, result FROM attempt WHERE task = ?1 AND outcome IS NOT NULL \
        ORDER BY number";
    VIEW_BREAKERS = "SELECT provider, model, credential, body FROM breaker ORDER BY provider, model, credential";
    VIEW_ARTIFACT = "SELECT bytes FROM artifact WHERE hash = ?1 AND bytes IS NOT NULL";
    VIEW_EVENTS = "SELECT cursor, at, run, task, kind, a, b, c, body FROM event WHERE cursor > ?1 \
        ORDER BY cursor LIMIT ?2";
    VIEW_EVENTS_OF_RUN = "SELECT cursor, at, run, task, kind, a, b, c, body FROM event WHERE cursor BETWEEN ?2 AND ?3 \
        AND run = ?1 ORDER BY cursor LIMIT ?4";
    VIEW_QUESTIONS_OPEN = concat!(question_view!(), "WHERE q.open = 1 ORDER BY q.id");
    VIEW_QUESTION = concat!(question_view!(), "WHERE q.id = ?1");

    // The crew.
    CREW_POLICY = "SELECT policy FROM crew";
    CREW_POLICY_SET = "UPDATE crew SET policy = ?1";
    CREW_INSTANCE_NEXT = "UPDATE crew SET instance = instance + 1 RETURNING instance";
    CREW_MESSAGE_NEXT = "UPDATE crew SET message = message + 1 RETURNING message";
    CREW_COORDINATION_NEXT = "UPDATE crew SET coordination = coordination + 1 RETURNING coordination";
    INSTANCE_ADD = "INSERT INTO instance (id, run, parent, depth, spec, rights, key, stage, flags, turns, queued, \
        notes, active_below, session, cost_nano, cost_unknown, spawned_at, active_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, 0, 0, 0, 0, ?9, 0, 0, ?10, ?10)";
    INSTANCE_SET = "UPDATE instance SET stage = ?2, ended_as = ?3, turn = ?4, message = ?5, flags = ?6, turns = ?7, \
        queued = ?8, notes = ?9, wants = ?10, active_below = ?11, session = ?12, outcome = ?13, detail = ?14, \
        usage = ?15, cost_nano = ?16, cost_unknown = ?17, active_at = ?18, ended_at = ?19 WHERE id = ?1";
    INSTANCE = concat!("SELECT ", instance_columns!(), " FROM instance WHERE id = ?1");
    INSTANCE_BY_KEY = "SELECT id FROM instance WHERE parent = ?1 AND key = ?2";
    INSTANCE_CHILDREN = "SELECT id FROM instance WHERE parent = ?1 AND stage < 3 ORDER BY id";
    INSTANCES_LIVE = "SELECT count(*) FROM instance WHERE stage < 3";
    INSTANCES_AT_WORK = "SELECT count(*) FROM instance WHERE turn IS NOT NULL AND active_below = 0";
    INSTANCE_CHILDREN_AT_WORK = "SELECT count(*) FROM instance WHERE parent = ?1 AND stage < 3 \
        AND turn IS NOT NULL AND active_below = 0";
    INSTANCES_WANTING = "SELECT id FROM instance WHERE wants IS NOT NULL AND turn IS NULL AND stage < 3 \
        ORDER BY depth DESC, wants LIMIT ?2 OFFSET ?1";
    INSTANCES_IDLE = "SELECT id, active_at FROM instance WHERE stage = ?1 AND stage <> 1 AND stage < 3 AND queued = 0 \
        AND active_below = 0 ORDER BY active_at LIMIT ?2";
    INSTANCE_OF_TURN = "SELECT id FROM instance WHERE turn = ?1";
    MESSAGE_ADD = "INSERT INTO message (id, sender, recipient, trust, kind, correlation, coordination, after, text, \
        key, sent_at, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0)";
    MESSAGE_SET = "UPDATE message SET state = ?2, task = ?3, outcome = ?4, detail = ?5, over_at = ?6 WHERE id = ?1";
    MESSAGE = concat!("SELECT ", message_columns!(), " FROM message WHERE id = ?1");
    MESSAGE_BY_KEY = "SELECT id FROM message WHERE sender = ?1 AND key = ?2";
    MESSAGE_HEAD = "SELECT id FROM message WHERE recipient = ?1 AND kind = 0 AND state = 0 ORDER BY id LIMIT 1";
    MESSAGES_WAITING = "SELECT id FROM message WHERE recipient = ?1 AND state = 0 ORDER BY kind, id";
    NOTES_TO_PERSON = "SELECT count(*) FROM message WHERE recipient = 0 AND kind = 1 AND state = 0";
    MESSAGE_AFTER_ADD = "INSERT OR IGNORE INTO message_after (message, later) VALUES (?1, ?2)";
    MESSAGE_LATER = "SELECT DISTINCT m.recipient FROM message_after a JOIN message m ON m.id = a.later \
        WHERE a.message = ?1";
    MESSAGE_AFTER_REMOVE = "DELETE FROM message_after WHERE message = ?1";
    COORDINATION_ADD = "INSERT INTO coordination (id, body) VALUES (?1, ?2)";
    COORDINATION = "SELECT body FROM coordination WHERE id = ?1";
    AUDIT_ADD = "INSERT INTO audit (at, by, instance, verb, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    RUN_CLOSE = "UPDATE run SET standing = 0 WHERE id = ?1";
    CREW_ANY = "SELECT instance > 0 FROM crew";
    PRUNE_INSTANCE_MESSAGES = "DELETE FROM message WHERE recipient IN (SELECT id FROM instance WHERE run = ?1) \
        OR sender IN (SELECT id FROM instance WHERE run = ?1)";
    PRUNE_INSTANCES = "DELETE FROM instance WHERE run = ?1";
    VIEW_INSTANCE = concat!(instance_view!(), "WHERE i.id = ?1");
    VIEW_INSTANCES = concat!(
        instance_view!(),
        "WHERE i.id > ?1 AND (i.stage < 3 OR i.turn IS NOT NULL OR ?2) ORDER BY i.id LIMIT ?3"
    );
    VIEW_INSTANCES_BELOW = concat!(
        "WITH RECURSIVE tree (id) AS (SELECT ?4 UNION ALL SELECT c.id FROM instance c JOIN tree ON c.parent = tree.id) ",
        instance_view!(),
        "WHERE i.id > ?1 AND i.id IN (SELECT id FROM tree) AND (i.stage < 3 OR i.turn IS NOT NULL OR ?2) \
         ORDER BY i.id LIMIT ?3"
    );
    VIEW_MESSAGES = concat!("SELECT ", message_columns!(), " FROM message WHERE id > ?1 ORDER BY id LIMIT ?2");
    VIEW_MESSAGES_WITH = concat!(
        "SELECT ", message_columns!(), " FROM message WHERE id > ?1 AND (sender = ?3 OR recipient = ?3) \
         ORDER BY id LIMIT ?2"
    );
    VIEW_MESSAGES_TO = concat!(
        "SELECT ", message_columns!(), " FROM message WHERE id > ?1 AND recipient = ?3 ORDER BY id LIMIT ?2"
    );
    VIEW_NOTES_TO = concat!(
        "SELECT ", message_columns!(), " FROM message WHERE id > ?1 AND recipient = ?3 AND kind = 1 AND state = 0 \
         ORDER BY id LIMIT ?2"
    );
    VIEW_NOTES = concat!(
        "SELECT ", message_columns!(), " FROM message WHERE id > ?1 AND kind = 1 AND state = 0 ORDER BY id LIMIT ?2"
    );
    VIEW_AUDIT = "SELECT id, at, by, instance, verb, detail FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2";
    VIEW_AUDIT_OF = "SELECT id, at, by, instance, verb, detail FROM audit WHERE id > ?1 AND instance = ?3 \
        ORDER BY id LIMIT ?2";
    PAST_ADD = "INSERT OR REPLACE INTO past (task, kind, agent, outcome, detail, cost_nano, at, sketch, model, features) \
        SELECT ?1, ?2, ?3, ?4, ?5, CASE WHEN count(*) = sum(cost < 5) THEN coalesce(sum(cost_nano), 0) END, ?6, ?7, ?8, ?9 \
        FROM attempt WHERE task = ?1";
    VIEW_PAST = "SELECT kind, agent, outcome, detail, cost_nano, at, sketch, model, features, task FROM past \
        ORDER BY at DESC, task DESC LIMIT ?1";
    VIEW_BUSY = "SELECT agent, count(*) FROM (SELECT agent FROM lease UNION ALL SELECT agent FROM ready) GROUP BY agent";
    VIEW_STORE_ID = "SELECT value FROM meta WHERE key = 'store_id'";
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::fsck::RULES;
    use crate::migrate::MIGRATIONS;

    fn fresh() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        // As the store has it; else each deletion looks at every table that refers to what is deleted.
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        for migration in MIGRATIONS {
            connection.execute_batch(migration).unwrap();
        }
        connection
    }

    #[test]
    fn every_statement_fits_the_schema() {
        let connection = fresh();
        for (name, sql) in ALL.iter().chain(RULES) {
            if let Err(error) = connection.prepare(sql) {
                panic!("{name}: {error}");
            }
        }
    }

    /// How SQLite goes about a statement, a line a step.
    fn plan(connection: &Connection, sql: &str) -> String {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Nothing is bound: the plan may not depend on it.
        let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3));
        steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    /// A statement on the way of every task must find its rows by a key: one scan and the cost of a task grows with
    /// the store. (Prune and lists of a run's tasks scan ranges of ids, and say so.)
    #[test]
    fn no_hot_statement_scans_or_sorts() {
        let connection = fresh();
        let scans = [
            "COUNTER",
            "COUNTER_SET",
            "BOOT",
            "BOOT_SET",
            "BOOT_LEASES_VOID",
            "RUNS_IN_STATE",
            "RUNS_OPEN",
            "RUNS_FINISHED_BEFORE",
            // Of the order of what runs.
            "LEASES_RUN_OUT",
            "LEASES_OF_OTHERS",
            "LEASES_PER_AGENT",
            "LEASES_WRITING",
            "VIEW_TASKS_RUNNING",
            // Of the order of what is at work or wants to be.
            "LEASES_LENT",
            "LEASES_LENT_PER_AGENT",
            "INSTANCES_AT_WORK",
            "INSTANCES_WANTING",
            "INSTANCES_LIVE",
            // One row.
            "CREW_ANY",
            "CREW_POLICY",
            "CREW_POLICY_SET",
            "CREW_INSTANCE_NEXT",
            "CREW_MESSAGE_NEXT",
            "CREW_COORDINATION_NEXT",
            // Lists for people, and what is removed with a run.
            "VIEW_INSTANCE",
            "VIEW_INSTANCES",
            "VIEW_INSTANCES_BELOW",
            "VIEW_MESSAGES_WITH",
            "VIEW_NOTES",
            "MESSAGE_LATER",
            "PRUNE_INSTANCE_MESSAGES",
            // Newest first until the limit.
            "VIEW_RUNS",
            "VIEW_PAST",
            // Once a submission.
            "VIEW_BUSY",
            "PRUNE_QUESTIONS",
            "QUESTIONS_VOID",
            // Small partial indexes, read whole.
            "PRUNE_ARTIFACTS",
            "PRUNE_ARTIFACT_NAMES",
            "PRUNE_USES",
            "VIEW_QUESTIONS_OPEN",
            // Once in the life of a budget, or when a person asks.
            "LEDGER_SPENT_RUN",
            "LEDGER_SPENT_TASK",
            "LEDGER_SPENT_SINCE",
            "LEDGER_LAST_OF_TASK",
            "BUDGET_ANY",
            "VIEW_TALLIES",
            // Reports: once through the ledger.
            "VIEW_LEDGER_OF",
            "VIEW_RATINGS",
            "VIEW_CREWS",
            "VIEW_RUNS_UNDER_WAY",
            "VIEW_BUDGETS",
            "VIEW_ALLOWANCES",
            "VIEW_BREAKERS",
            "PRUNE_BUDGETS",
            // A row an account and window.
            "ALLOWANCES_EXHAUSTED",
        ];
        for (name, sql) in ALL {
            if scans.contains(name) {
                continue;
            }
            let plan = plan(&connection, sql);
            assert!(!plan.contains("SCAN"), "{name}:\n{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{name}:\n{plan}");
        }
    }

    #[test]
    fn a_lane_is_read_from_where_it_was_left() {
        let plan = plan(&fresh(), READY_PAGE);
        let steps = [
            "SEARCH r USING PRIMARY KEY (agent=? AND (rank,task)>(?,?))",
            "SEARCH t",
            "SEARCH s",
        ];
        for step in steps {
            assert!(plan.contains(step), "{plan}");
        }
    }
}

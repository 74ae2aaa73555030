//! The store checked against itself: the file, the references between tables, what the tables say of each other, and the
//! tables against the history. Reads one moment of it, changes nothing.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::store::{Failure, Fault};

use crate::encode::StoredHash;
use crate::failure::{Answer, Stop, failure};
use crate::history;
use crate::migrate::check_readable;
use crate::read::connect_to_read;
use crate::rows::Names;
use crate::shape;

/// Faults of one kind that are listed; a damaged file can have millions.
const LISTED_MAX: i64 = 20;

/// Checks the store in this file; empty when all is well. Takes a while: it reads everything.
pub fn fsck(path: &Path) -> Result<Vec<Fault>, Failure> {
    let mut connection = match open(path) {
        Ok(connection) => connection,
        Err(Failure::Damaged(what)) => return Ok(vec![fault("the file can be read", what)]),
        Err(failure) => return Err(failure),
    };
    let checked = connection
        .transaction()
        .map_err(Stop::from)
        .and_then(|moment| check(&moment));
    match checked {
        Ok(faults) => Ok(faults),
        Err(Stop::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Ok(vec![fault("the file can be read", error.to_string())])
        }
        Err(stop) => Err(stop.into_failure(path)),
    }
}

fn open(path: &Path) -> Result<Connection, Failure> {
    let connection = connect_to_read(path).map_err(|error| failure(path, error))?;
    check_readable(&connection, path)?;
    Ok(connection)
}

fn fault(rule: &str, detail: impl Into<String>) -> Fault {
    Fault {
        rule: rule.to_owned(),
        detail: detail.into(),
    }
}

fn check(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut faults = integrity(moment)?;
    if !faults.is_empty() {
        // Whatever else would be found follows from this.
        return Ok(faults);
    }
    faults.extend(references(moment)?);
    for (rule, sql) in RULES {
        let mut statement = moment.prepare(sql)?;
        let details = statement.query_map([LISTED_MAX], |row| row.get::<_, String>(0))?;
        for detail in details {
            faults.push(fault(rule, detail?));
        }
    }
    faults.extend(texts(moment)?);
    faults.extend(artifacts(moment)?);
    faults.extend(told(moment)?);
    let mut listed: HashMap<String, i64> = HashMap::new();
    faults.retain(|fault| {
        let of_its_kind = listed.entry(fault.rule.clone()).or_default();
        *of_its_kind += 1;
        *of_its_kind <= LISTED_MAX
    });
    Ok(faults)
}

fn integrity(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut statement = moment.prepare("PRAGMA integrity_check(20)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults = Vec::new();
    for line in lines {
        let line = line?;
        if line != "ok" {
            faults.push(fault("the file is sound", line));
        }
    }
    Ok(faults)
}

fn references(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut statement = moment.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut faults = Vec::new();
    while let Some(row) = rows.next()? {
        let (table, to): (String, String) = (row.get(0)?, row.get(2)?);
        let place: Option<i64> = row.get(1)?;
        let place = place.map_or_else(String::new, |place| format!(" {place}"));
        faults.push(fault(
            "what is referred to is there",
            format!("{table}{place} refers to a missing {to}"),
        ));
        if faults.len() as i64 == LISTED_MAX {
            break;
        }
    }
    Ok(faults)
}

/// Rules that one query can check. Each gives the places that break it, in words, at most `?1` of them. `satisfied`
/// means: the parent is done with success, or its dependants run all the same.
pub(crate) const RULES: &[(&str, &str)] = &[
    (
        "a waiting task counts the needs that are missing",
        "SELECT printf('t%d counts %d, missing are %d', t.id, t.pending, ifnull(m.missing, 0)) FROM task t LEFT JOIN \
         (SELECT d.child, count(*) AS missing FROM dep d JOIN task p ON p.id = d.parent WHERE NOT (p.state = 4 AND \
         (p.outcome = 1 OR p.flags & 8)) GROUP BY d.child) m ON m.child = t.id \
         WHERE t.state = 0 AND NOT t.flags & 128 AND (m.missing IS NULL OR m.missing <> t.pending) LIMIT ?1",
    ),
    (
        "a workflow that waits has so many open children",
        "SELECT printf('t%d waits for %d children, open are %d', t.id, t.pending, n) FROM (SELECT t.id, t.pending, \
         (SELECT count(*) FROM spec p JOIN spec c ON c.run = p.run AND c.key > p.key || '.' AND c.key < p.key || '/' \
         JOIN task k ON k.id = c.task WHERE p.task = t.id AND k.flags & 32 AND k.state <> 4) AS n FROM task t \
         WHERE t.state = 0 AND t.flags & 128) t WHERE t.pending < 1 OR t.pending > n LIMIT ?1",
    ),
    (
        "a waiting task waits for what can still come",
        "SELECT printf('t%d waits for t%d, which is done and lets nothing run', c.id, p.id) FROM dep d \
         JOIN task p ON p.id = d.parent JOIN task c ON c.id = d.child WHERE c.state = 0 AND NOT c.flags & 128 \
         AND p.state = 4 AND p.outcome <> 1 AND NOT (p.flags & 8) LIMIT ?1",
    ),
    (
        "only waiting tasks count missing needs",
        "SELECT printf('t%d counts %d', id, pending) FROM task WHERE state <> 0 AND pending <> 0 LIMIT ?1",
    ),
    (
        "a run counts its tasks",
        "SELECT printf('r%d counts %d/%d/%d/%d/%d/%d/%d/%d, it has %d/%d/%d/%d/%d/%d/%d/%d', r.id, r.waiting, r.ready, \
         r.running, r.held, r.succeeded, r.failed, r.skipped, r.cancelled, w, y, x, h, s, f, k, c) FROM run r LEFT JOIN \
         (SELECT run, sum(state = 0) AS w, sum(state = 1) AS y, sum(state = 2) AS x, sum(state = 3) AS h, \
         sum(state = 4 AND outcome = 1) AS s, sum(state = 4 AND outcome NOT IN (1, 19, 20)) AS f, \
         sum(state = 4 AND outcome = 20) AS k, sum(state = 4 AND outcome = 19) AS c FROM task GROUP BY run) t \
         ON t.run = r.id WHERE (r.waiting, r.ready, r.running, r.held, r.succeeded, r.failed, r.skipped, r.cancelled) \
         IS NOT (ifnull(w, 0), ifnull(y, 0), ifnull(x, 0), ifnull(h, 0), ifnull(s, 0), ifnull(f, 0), ifnull(k, 0), \
         ifnull(c, 0)) LIMIT ?1",
    ),
    (
        "a run is finished when all its tasks are done",
        "SELECT printf('r%d is %s with %d open tasks', id, CASE state WHEN 3 THEN 'finished' ELSE 'not finished' END, \
         waiting + ready + running + held) FROM run WHERE (state = 3) <> (finished_at IS NOT NULL) OR \
         (standing AND state = 3) OR (NOT standing AND (state = 3) <> (waiting + ready + running + held = 0)) LIMIT ?1",
    ),
    (
        "a run knows where its tasks and events lie",
        "SELECT printf('r%d has t%d outside of its range', r.id, t.id) FROM task t JOIN run r ON r.id = t.run \
         WHERE t.id NOT BETWEEN r.task_first AND r.task_last UNION ALL \
         SELECT printf('r%d has event %d outside of its range', r.id, e.cursor) FROM event e JOIN run r ON r.id = e.run \
         WHERE e.cursor NOT BETWEEN r.event_first AND r.event_last LIMIT ?1",
    ),
    (
        "the ready list holds what is ready",
        "SELECT printf('t%d is ready and not listed', t.id) FROM task t LEFT JOIN ready r ON r.agent = t.agent AND \
         r.rank = t.rank AND r.task = t.id WHERE t.state = 1 AND r.task IS NULL UNION ALL \
         SELECT printf('t%d is listed as ready', r.task) FROM ready r JOIN task t ON t.id = r.task \
         WHERE t.state <> 1 OR t.agent <> r.agent OR t.rank <> r.rank LIMIT ?1",
    ),
    (
        "nothing is ready in a paused run or without its approval",
        "SELECT printf('t%d is ready', t.id) FROM task t JOIN run r ON r.id = t.run WHERE t.state = 1 AND \
         (r.state <> 0 OR t.flags & 4) LIMIT ?1",
    ),
    (
        "a running task has a lease of its fence and try",
        "SELECT printf('t%d is running without a lease', t.id) FROM task t LEFT JOIN lease l ON l.task = t.id \
         WHERE t.state = 2 AND l.task IS NULL UNION ALL \
         SELECT printf('t%d has a lease', t.id) FROM lease l JOIN task t ON t.id = l.task WHERE t.state <> 2 OR \
         l.fence <> t.fence OR l.number <> t.attempt OR l.agent <> t.agent LIMIT ?1",
    ),
    (
        "a held task has its reason",
        "SELECT printf('t%d is held without one', id) FROM task WHERE (state = 3) <> (held IS NOT NULL) UNION ALL \
         SELECT printf('t%d is held for reason %d without what it waits for', t.id, t.held) FROM task t \
         LEFT JOIN hold h ON h.task = t.id WHERE t.state = 3 AND NOT CASE t.held WHEN 1 THEN h.task IS NULL \
         WHEN 2 THEN h.question IS NOT NULL WHEN 3 THEN h.question IS NOT NULL WHEN 4 THEN h.task IS NOT NULL \
         WHEN 8 THEN h.question IS NOT NULL WHEN 7 THEN h.blocker IS NOT NULL ELSE h.until IS NOT NULL END UNION ALL \
         SELECT printf('t%d waits for something and is not held', t.id) FROM hold h JOIN task t ON t.id = h.task \
         WHERE t.state <> 3 LIMIT ?1",
    ),
    (
        "a task is held as paused only in a paused run",
        "SELECT printf('t%d is held as paused, r%d is not', t.id, r.id) FROM task t JOIN run r ON r.id = t.run \
         WHERE t.state = 3 AND t.held = 1 AND r.state NOT IN (1, 2) LIMIT ?1",
    ),
    (
        "a conflict names a running task",
        "SELECT printf('t%d waits for t%d, which does not run', h.task, h.blocker) FROM hold h \
         LEFT JOIN lease l ON l.task = h.blocker WHERE h.blocker IS NOT NULL AND (l.task IS NULL OR NOT l.blocks) \
         LIMIT ?1",
    ),
    (
        "an open question has its task held on it",
        "SELECT printf('q%d is open, t%d does not wait for it', q.id, q.task) FROM question q \
         LEFT JOIN hold h ON h.task = q.task WHERE q.open AND h.question IS NOT q.id \
         AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.task = q.task AND l.mail) UNION ALL \
         SELECT printf('t%d waits for q%d of another task', h.task, q.id) FROM hold h JOIN question q \
         ON q.id = h.question WHERE q.task <> h.task LIMIT ?1",
    ),
    (
        "a task that is done has an outcome, and no other has",
        "SELECT printf('t%d', id) FROM task WHERE (state = 4) <> (outcome IS NOT NULL) OR \
         (state = 4) <> (done_at IS NOT NULL) LIMIT ?1",
    ),
    (
        "the tries of a task are numbered from one without gaps",
        "SELECT printf('t%d is at try %d and has %d', t.id, t.attempt, n) FROM (SELECT t.id, t.attempt, \
         (SELECT count(*) FROM (SELECT number FROM attempt WHERE task = t.id UNION SELECT number FROM lease \
         WHERE task = t.id)) AS n FROM task t) t WHERE t.attempt <> n LIMIT ?1",
    ),
    (
        "an artifact counts its uses",
        "SELECT printf('artifact %d counts %d, it has %d', a.id, a.uses, n) FROM (SELECT id, uses, \
         ifnull(u.n, 0) AS n FROM artifact LEFT JOIN (SELECT artifact, count(*) AS n FROM artifact_use \
         GROUP BY artifact) u ON u.artifact = artifact.id) a WHERE a.uses <> n LIMIT ?1",
    ),
    (
        "the ledger and the totals of a run are one number",
        "SELECT printf('r%d consumed %d/%d/%d/%d/%d and %d n$ (%d unknown), its ledger says %d/%d/%d/%d/%d and %d (%d)', \
         r.id, r.input, r.cache_read, r.cache_write, r.output, r.reasoning, r.cost_nano, r.cost_unknown, \
         ifnull(i, 0), ifnull(cr, 0), ifnull(cw, 0), ifnull(o, 0), ifnull(re, 0), ifnull(nano, 0), ifnull(u, 0)) \
         FROM run r LEFT JOIN (SELECT run, sum(input) AS i, sum(cache_read) AS cr, sum(cache_write) AS cw, \
         sum(output) AS o, sum(reasoning) AS re, sum(CASE WHEN cost IN (1, 2) THEN cost_nano ELSE 0 END) AS nano, \
         sum(cost = 5) AS u FROM ledger GROUP BY run) l ON l.run = r.id WHERE (r.input, r.cache_read, r.cache_write, \
         r.output, r.reasoning, r.cost_nano, r.cost_unknown) IS NOT (ifnull(i, 0), ifnull(cr, 0), ifnull(cw, 0), \
         ifnull(o, 0), ifnull(re, 0), ifnull(nano, 0), ifnull(u, 0)) LIMIT ?1",
    ),
    (
        "the ledger and its sums by day are one number",
        "SELECT printf('%s on day %d: the ledger has %d entries, %d tokens, %d n$, the sum says %d, %d, %d', n.text, x.day, \
         x.n1, x.t1, x.c1, x.n2, x.t2, x.c2) FROM (SELECT agent, day, sum(n1) AS n1, sum(t1) AS t1, sum(c1) AS c1, \
         sum(n2) AS n2, sum(t2) AS t2, sum(c2) AS c2 FROM (SELECT agent, at / 86400000 AS day, 1 AS n1, \
         input + cache_read + cache_write + output + reasoning AS t1, \
         CASE WHEN cost IN (1, 2) THEN cost_nano ELSE 0 END + assumed_nano AS c1, 0 AS n2, 0 AS t2, 0 AS c2 FROM ledger \
         UNION ALL SELECT agent, day, 0, 0, 0, entries, input + cache_read + cache_write + output + reasoning, \
         actual_nano + priced_nano + assumed_nano FROM tally) GROUP BY agent, day) x JOIN name n ON n.id = x.agent \
         WHERE (n1, t1, c1) <> (n2, t2, c2) LIMIT ?1",
    ),
    (
        "a budget holds what its tries hold",
        "SELECT printf('%s has %d n$ reserved, its tries hold %d', b.scope, b.reserved_nano, ifnull(sum(m.reserved_nano), 0)) \
         FROM budget b LEFT JOIN meter_on o ON o.budget = b.id LEFT JOIN meter m ON m.task = o.task GROUP BY b.id \
         HAVING b.reserved_nano <> ifnull(sum(m.reserved_nano), 0) LIMIT ?1",
    ),
    (
        "only a running task holds money",
        "SELECT printf('t%d holds %d n$ and does not run', m.task, m.reserved_nano) FROM meter m \
         LEFT JOIN lease l ON l.task = m.task WHERE l.task IS NULL LIMIT ?1",
    ),
    (
        "a budget has spent what its ledger says",
        "SELECT printf('%s has spent %d n$ and assumed %d, its ledger says %d and %d', b.scope, b.spent_nano, b.assumed_nano, \
         s, a) FROM (SELECT b.*, (SELECT ifnull(sum(CASE WHEN cost IN (1, 2) THEN cost_nano END), 0) FROM ledger l \
         WHERE CASE b.scope WHEN 'r' || l.run THEN 1 WHEN 't' || l.task THEN 1 WHEN 'day' THEN l.at / 86400000 = b.window \
         WHEN 'hour' THEN l.at / 3600000 = b.window ELSE EXISTS (SELECT 1 FROM task k JOIN spec c ON c.task = k.id \
         JOIN spec p ON p.run = c.run AND c.key > p.key || '.' AND c.key < p.key || '/' WHERE k.id = l.task \
         AND k.flags & 32 AND b.scope = 't' || p.task) END) AS s, \
         (SELECT ifnull(sum(assumed_nano), 0) FROM ledger l \
         WHERE CASE b.scope WHEN 'r' || l.run THEN 1 WHEN 't' || l.task THEN 1 WHEN 'day' THEN l.at / 86400000 = b.window \
         WHEN 'hour' THEN l.at / 3600000 = b.window ELSE EXISTS (SELECT 1 FROM task k JOIN spec c ON c.task = k.id \
         JOIN spec p ON p.run = c.run AND c.key > p.key || '.' AND c.key < p.key || '/' WHERE k.id = l.task \
         AND k.flags & 32 AND b.scope = 't' || p.task) END) AS a FROM budget b WHERE b.scope NOT LIKE 'instance:%' \
         AND b.scope NOT IN ('session', 'crew', 'crew:hour')) b WHERE b.spent_nano <> s OR b.assumed_nano <> a LIMIT ?1",
    ),
    (
        "numbers are given out in order",
        "SELECT 'the counters are behind' FROM counter c WHERE c.run < (SELECT ifnull(max(id), 0) FROM run) OR \
         c.task < (SELECT ifnull(max(id), 0) FROM task) OR c.question < (SELECT ifnull(max(id), 0) FROM question) OR \
         c.event < (SELECT ifnull(max(cursor), 0) FROM event) OR c.at < (SELECT ifnull(max(at), 0) FROM event) LIMIT ?1",
    ),
];

const READABLE: &str = "what is kept as text can be read";

/// Everything kept as text can be read, and a task's needs are the edges of the graph.
fn texts(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut edges = moment.prepare(
        "SELECT count(*) FROM dep WHERE child = ?1 AND parent = (SELECT task FROM spec \
         WHERE run = ?2 AND key = ?3)",
    )?;
    // Without an index by child, this is one pass over all edges.
    let mut counted: HashMap<i64, i64> = HashMap::new();
    let mut count = moment.prepare("SELECT child, count(*) FROM dep GROUP BY child")?;
    let mut rows = count.query([])?;
    while let Some(row) = rows.next()? {
        counted.insert(row.get(0)?, row.get(1)?);
    }
    let mut specs = moment.prepare("SELECT task, run, key, body FROM spec")?;
    let mut rows = specs.query([])?;
    while let Some(row) = rows.next()? {
        let (task, run, key, body): (i64, i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        match shape::task_spec(TaskKey(key), &body) {
            Err(Stop::Damaged(what)) => faults.push(fault(READABLE, format!("t{task}: {what}"))),
            Err(stop) => return Err(stop),
            Ok(spec) => {
                let mut needs: Vec<&TaskKey> = spec.needs.iter().collect();
                needs.sort();
                needs.dedup();
                let mut found = counted.get(&task).copied() == Some(needs.len() as i64) || needs.is_empty();
                for need in needs {
                    found &= edges.query_row(params![task, run, need.as_str()], |row| row.get::<_, i64>(0))? == 1;
                }
                if !found {
                    faults.push(fault("a task's needs are its edges", format!("t{task}")));
                }
            }
        }
    }
    faults.extend(tries(moment)?);
    Ok(faults)
}

fn tries(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut results = moment.prepare("SELECT task, number, result, usage FROM attempt")?;
    let mut rows = results.query([])?;
    while let Some(row) = rows.next()? {
        let (task, number): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (result, usage): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        if shape::result(result.as_deref()).is_err() || crate::encode::usage(usage.as_deref()).is_err() {
            faults.push(fault(READABLE, format!("try {number} of t{task}")));
        }
    }
    Ok(faults)
}

/// What results refer to is there, and bytes are what their hash says.
fn artifacts(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut used = moment.prepare(
        "SELECT 1 FROM artifact_use u JOIN artifact a ON a.id = u.artifact \
         WHERE u.task = ?1 AND a.hash = ?2",
    )?;
    let mut there = moment.prepare("SELECT 1 FROM artifact WHERE hash = ?1 AND bytes IS NOT NULL")?;
    let mut results = moment.prepare("SELECT task, result FROM attempt WHERE result IS NOT NULL")?;
    let mut rows = results.query([])?;
    while let Some(row) = rows.next()? {
        let (task, result): (i64, String) = (row.get(0)?, row.get(1)?);
        let Ok(result) = shape::result(Some(&result)) else {
            continue;
        };
        for output in &result.artifacts {
            let hash = StoredHash::new(&output.hash);
            let known = used.query_row(params![task, hash], |_| Ok(())).optional()?.is_some();
            if !known || there.query_row([&hash], |_| Ok(())).optional()?.is_none() {
                let detail = format!("t{task}: `{}` {}", output.name, output.hash);
                faults.push(fault("the outputs of a task are there", detail));
            }
        }
    }
    let mut stored = moment.prepare("SELECT id, hash, bytes FROM artifact WHERE bytes IS NOT NULL")?;
    let mut rows = stored.query([])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(2)?.as_blob().unwrap_or_default();
        if row.get_ref(1)?.as_blob() != Ok(blake3::hash(bytes).as_bytes()) {
            let id: i64 = row.get(0)?;
            faults.push(fault(
                "an artifact's bytes are what its hash says",
                format!("artifact {id}"),
            ));
        }
    }
    Ok(faults)
}

/// What the history says of one task so far.
#[derive(Default)]
struct Told {
    fence: i64,
    running: bool,
    done: bool,
}

impl Told {
    /// Takes in the next event about the task; the rule it breaks, when it breaks one.
    fn hear(&mut self, kind: i64, fence: Option<i64>) -> Option<&'static str> {
        let (running, done, last_fence) = (self.running, self.done, self.fence);
        match kind {
            history::TASK_CLAIMED => {
                self.running = true;
                self.fence = fence.unwrap_or(0);
                if running || done {
                    return Some("a task is claimed when it is neither running nor done");
                }
                (self.fence <= last_fence).then_some("fences only grow")
            }
            history::ATTEMPT_ENDED | history::TASK_RETURNED | history::TASK_AWAITS => {
                self.running = false;
                (!running).then_some("a try ends once, after its claim")
            }
            history::TASK_DONE => {
                self.done = true;
                (running || done).then_some("a task is settled once")
            }
            history::TASK_RETRIED => {
                self.done = false;
                (!done).then_some("only what is done is tried again")
            }
            _ => None,
        }
    }
}

/// The history obeys its rules and ends where the tables stand.
fn told(moment: &Transaction<'_>) -> Answer<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut tasks: HashMap<i64, Told> = HashMap::new();
    let mut names = Names::default();
    let mut name = |id: i64| Ok(names.text(moment, id)?);
    let mut latest: i64 = 0;
    let mut events = moment.prepare("SELECT cursor, at, run, task, kind, a, b, c, body FROM event ORDER BY cursor")?;
    let mut rows = events.query([])?;
    while let Some(row) = rows.next()? {
        let cursor: i64 = row.get(0)?;
        let mut say = |rule: &str| faults.push(fault(rule, format!("event {cursor}")));
        let at: i64 = row.get(1)?;
        if at < latest {
            say("time does not run backwards in the history");
        }
        latest = at;
        if history::event(row, &mut name).is_err() {
            say(READABLE);
        }
        let Some(task) = row.get::<_, Option<i64>>(3)? else {
            continue;
        };
        let task = tasks.entry(task).or_default();
        if let Some(rule) = task.hear(row.get(4)?, row.get(6)?) {
            say(rule);
        }
    }
    faults.extend(told_and_stored(moment, &tasks)?);
    Ok(faults)
}

fn told_and_stored(moment: &Transaction<'_>, told: &HashMap<i64, Told>) -> Answer<Vec<Fault>> {
    let mut faults = Vec::new();
    let nothing = Told::default();
    let mut tasks = moment.prepare("SELECT id, state, fence FROM task")?;
    let mut rows = tasks.query([])?;
    while let Some(row) = rows.next()? {
        let (id, state, fence): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Told {
            fence: told_fence,
            running,
            done,
        } = told.get(&id).unwrap_or(&nothing);
        if (fence, state == 2, state == 4) != (*told_fence, *running, *done) {
            faults.push(fault("the history ends where the tables stand", format!("t{id}")));
        }
    }
    Ok(faults)
}

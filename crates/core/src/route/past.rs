//! What became of past tasks, and which of them are like this one.
//!
//! The likeness is a local sketch: words and word pairs are hashed into 256 signs (a random-hyperplane hash, Charikar
//! 2002), and the share of equal signs tells how alike two texts are. Nothing is downloaded, a sketch takes microseconds
//! and 32 bytes, and a hundred thousand of them are compared in a fraction of a millisecond.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::learned;
use crate::analysis::Kind;
use crate::ids::TaskId;
use crate::outcome::Outcome;
use crate::time::Millis;

/// How much of a text goes into its sketch, in bytes: what is further down is mostly pasted.
pub const SKETCHED_MAX: usize = 8 << 10;
/// How many past tasks are kept at hand at the most, newest first.
pub const ROWS_MAX: usize = 100_000;
/// How many similar tasks are listened to.
pub const NEIGHBOURS: usize = 40;
/// How many of 256 signs may differ for a task to count as similar: two unrelated texts differ in about 128.
pub const DISTANCE_MAX: u32 = 96;
/// After how many tasks of all a task counts half for whether somebody is worth another try.
pub const RECENT_HALF: f64 = 200.0;
/// Over how many tries of an agent its health is told.
pub const HEALTH_TRIES: usize = 20;

/// 256 signs of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sketch(pub [u64; 4]);

impl Sketch {
    /// Sketches a text.
    pub fn of(text: &str) -> Sketch {
        let read = &text[..text.floor_char_boundary(SKETCHED_MAX)];
        let mut sums = [0_i32; 256];
        let mut before = 0_u64;
        for word in read.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2) {
            let hash = hash(word);
            add(&mut sums, hash);
            if before != 0 {
                add(&mut sums, before.rotate_left(17) ^ hash);
            }
            before = hash;
        }
        let mut signs = [0_u64; 4];
        for (place, sum) in sums.iter().enumerate() {
            signs[place / 64] |= u64::from(*sum > 0) << (place % 64);
        }
        Sketch(signs)
    }

    /// In how many signs two differ.
    pub fn distance(&self, other: &Sketch) -> u32 {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(one, other)| (one ^ other).count_ones()).sum()
    }

    /// The signs as bytes, for a store.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (part, sign) in bytes.chunks_exact_mut(8).zip(self.0) {
            part.copy_from_slice(&sign.to_le_bytes());
        }
        bytes
    }

    /// The signs from bytes, when there are enough of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Sketch> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let mut signs = [0; 4];
        for (part, sign) in bytes.chunks_exact(8).zip(&mut signs) {
            *sign = u64::from_le_bytes(part.try_into().ok()?);
        }
        Some(Sketch(signs))
    }
}

/// FNV-1a over the lower-case word without its plural; stable for ever, because sketches are stored.
fn hash(word: &str) -> u64 {
    let word = word.strip_suffix('s').unwrap_or(word);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in word.bytes() {
        hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// Adds the signs of one feature: 256 pseudo-random ones by splitmix64.
fn add(sums: &mut [i32; 256], feature: u64) {
    let mut state = feature;
    for part in sums.chunks_exact_mut(64) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        for (place, sum) in part.iter_mut().enumerate() {
            *sum += if (z >> place) & 1 == 1 { 1 } else { -1 };
        }
    }
}

/// What became of one task that an agent was given.
#[derive(Clone, PartialEq, Debug)]
pub struct PastTask {
    /// Which task it was.
    pub task: TaskId,
    /// What it was about.
    pub sketch: Sketch,
    /// Its shape and words; none where they are not known, as of tasks of older versions.
    pub features: Option<Features>,
    /// What sort of work it was.
    pub kind: Kind,
    /// Who had it at its end.
    pub agent: String,
    /// The model it was told to use; none for its own choice.
    pub model: Option<String>,
    /// How it came out.
    pub outcome: Outcome,
    /// What all its tries cost, in nano-dollars, when all are known.
    pub cost_nano: Option<u64>,
    /// When.
    pub at: Millis,
}

/// Successes among so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// All.
    pub tasks: u32,
    /// Those that succeeded.
    pub succeeded: u32,
}

impl Count {
    fn add(&mut self, succeeded: bool) {
        self.tasks += 1;
        self.succeeded += u32::from(succeeded);
    }

    /// The share of successes with one of each added, so that little evidence says little.
    pub fn mean(self) -> f64 {
        f64::from(self.succeeded + 1) / f64::from(self.tasks + 2)
    }

    /// Where the true share lies with 95 % (Wilson 1927).
    pub fn interval(self) -> (f64, f64) {
        if self.tasks == 0 {
            return (0.0, 1.0);
        }
        let (n, z) = (f64::from(self.tasks), 1.96_f64);
        let share = f64::from(self.succeeded) / n;
        let middle = share + z * z / (2.0 * n);
        let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z * z / n;
        (
            ((middle - spread) / scale).max(0.0),
            ((middle + spread) / scale).min(1.0),
        )
    }
}

/// Everything that is remembered of past tasks, newest first.
#[derive(Clone, Debug, Default)]
pub struct Past {
    sketches: Vec<Sketch>,
    rows: Vec<Row>,
    /// Of the newest rows, as many as are learned from.
    features: Vec<Option<Features>>,
    /// Who was asked: agents, each with each model it was told to use.
    whos: Vec<(String, Option<String>)>,
    /// Of each, what its tasks came to, the newest of all weighing most: successes and failures.
    recent: Vec<(f64, f64)>,
    /// Of each, whether its last tries met a fault of its own, newest first.
    health: Vec<Vec<bool>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    who: u16,
    kind: Kind,
    succeeded: bool,
    cost_nano: Option<u64>,
}

/// What similar tasks say about one of those who were asked.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Similar {
    /// How many, and how they came out.
    pub count: Count,
    /// What they cost on average, in nano-dollars, where it is known.
    pub cost_nano: Option<u64>,
}

impl Past {
    /// Takes past tasks, newest first; more than [`ROWS_MAX`] are not looked at.
    pub fn of(tasks: impl IntoIterator<Item = PastTask>) -> Past {
        let mut past = Past::default();
        let mut known: BTreeMap<(String, Option<String>), u16> = BTreeMap::new();
        for task in tasks.into_iter().take(ROWS_MAX) {
            // Nobody's fault and nobody's merit.
            if matches!(
                task.outcome,
                Outcome::Cancelled | Outcome::Skipped { .. } | Outcome::BudgetExhausted
            ) {
                continue;
            }
            let next = u16::try_from(known.len()).unwrap_or(u16::MAX);
            let asked = (task.agent, task.model);
            let who = *known.entry(asked.clone()).or_insert(next);
            let at = usize::from(who);
            if at == past.whos.len() {
                past.whos.push(asked);
                past.recent.push((0.0, 0.0));
                past.health.push(Vec::new());
            }
            if past.health[at].len() < HEALTH_TRIES {
                past.health[at].push(is_own_fault(&task.outcome));
            }
            // A task that no agent could even begin says nothing about how well it would have been done.
            if is_own_fault(&task.outcome) {
                continue;
            }
            let succeeded = task.outcome.is_success();
            #[expect(clippy::cast_precision_loss, reason = "at most ROWS_MAX")]
            let weight = (-(past.rows.len() as f64) / RECENT_HALF).exp2();
            let (successes, failures) = &mut past.recent[at];
            *(if succeeded { successes } else { failures }) += weight;
            if past.features.len() < learned::ROWS_MAX {
                past.features.push(task.features);
            }
            past.sketches.push(task.sketch);
            past.rows.push(Row {
                who,
                kind: task.kind,
                succeeded,
                cost_nano: task.cost_nano,
            });
        }
        past
    }

    /// How many tasks are remembered.
    pub fn tasks(&self) -> usize {
        self.rows.len()
    }

    /// How many have been asked.
    pub(super) fn whos(&self) -> usize {
        self.whos.len()
    }

    /// Agent and model of one.
    pub(super) fn who(&self, number: usize) -> Option<(&str, Option<&str>)> {
        let (agent, model) = self.whos.get(number)?;
        Some((agent, model.as_deref()))
    }

    /// The newest tasks, as many as are learned from: who did it, whether it succeeded, what it was.
    pub(super) fn newest(&self) -> impl Iterator<Item = (usize, bool, Kind, Option<&Features>)> {
        let rows = self.rows.iter().zip(&self.features);
        rows.map(|(row, features)| (usize::from(row.who), row.succeeded, row.kind, features.as_ref()))
    }

    /// What similar tasks took of an agent with that model, each with all its tries, where that is known; the newest.
    pub fn costs(&self, sketch: &Sketch, agent: &str, model: Option<&str>) -> Vec<u64> {
        let Some(who) = self.number(agent, model) else {
            return Vec::new();
        };
        let rows = self.sketches.iter().zip(&self.rows);
        let own = rows.filter(|(_, row)| usize::from(row.who) == who);
        let near = own.filter(|(other, _)| sketch.distance(other) <= DISTANCE_MAX);
        near.filter_map(|(_, row)| row.cost_nano).take(NEIGHBOURS).collect()
    }

    /// What the most similar tasks say, by who did them.
    pub(super) fn similar(&self, sketch: &Sketch) -> BTreeMap<usize, Similar> {
        let mut by_distance: [u32; DISTANCE_MAX as usize + 1] = [0; DISTANCE_MAX as usize + 1];
        let distances: Vec<u16> = self
            .sketches
            .iter()
            .map(|other| {
                let distance = sketch.distance(other);
                if let Some(count) = by_distance.get_mut(distance as usize) {
                    *count += 1;
                }
                u16::try_from(distance).unwrap_or(u16::MAX)
            })
            .collect();
        // The distance within which the nearest ones lie.
        let mut within = 0;
        let mut found = 0;
        for (distance, count) in by_distance.iter().enumerate() {
            found += *count as usize;
            within = distance;
            if found >= NEIGHBOURS {
                break;
            }
        }
        let mut told: BTreeMap<usize, (Count, u64, u64)> = BTreeMap::new();
        let near = distances
            .iter()
            .enumerate()
            .filter(|(_, distance)| usize::from(**distance) <= within);
        for (place, _) in near.take(NEIGHBOURS) {
            let Some(row) = self.rows.get(place) else { continue };
            let (count, sum, known) = told.entry(usize::from(row.who)).or_default();
            count.add(row.succeeded);
            if let Some(cost) = row.cost_nano {
                *sum = sum.saturating_add(cost);
                *known += 1;
            }
        }
        let similar = told.into_iter().map(|(who, (count, sum, known))| {
            let cost_nano = sum.checked_div(known);
            (who, Similar { count, cost_nano })
        });
        similar.collect()
    }

    /// What the last tasks of one came to: successes and failures, each weighing half as much every [`RECENT_HALF`]
    /// tasks of all. Nothing for whoever was not asked, or not for long.
    pub(super) fn recent(&self, agent: &str, model: Option<&str>) -> (f64, f64) {
        let number = self.number(agent, model);
        number.and_then(|who| self.recent.get(who)).copied().unwrap_or_default()
    }

    /// The share of an agent's last tries that met no fault of its own, and over how many that is told.
    pub fn health(&self, agent: &str, model: Option<&str>) -> (f64, usize) {
        let tries = self.number(agent, model).and_then(|who| self.health.get(who));
        let Some(tries) = tries.filter(|tries| !tries.is_empty()) else {
            return (1.0, 0);
        };
        let faults = tries.iter().filter(|fault| **fault).count();
        #[expect(clippy::cast_precision_loss, reason = "at most HEALTH_TRIES")]
        let share = 1.0 - faults as f64 / tries.len() as f64;
        (share, tries.len())
    }

    pub(super) fn number(&self, agent: &str, model: Option<&str>) -> Option<usize> {
        let is = |(known, of): &(String, Option<String>)| known == agent && of.as_deref() == model;
        self.whos.iter().position(is)
    }
}

/// Whether the one that was asked failed to serve, whatever the task.
fn is_own_fault(outcome: &Outcome) -> bool {
    use crate::breaker::{Bearing, bearing};
    match bearing(outcome, Millis(0)) {
        Bearing::Ill | Bearing::Out { .. } => {
            !matches!(outcome, Outcome::Malformed | Outcome::Empty | Outcome::TimedOut)
        }
        Bearing::Well | Bearing::Silent => false,
    }
}

/// The newest past tasks, kept up by what came since they were read: a list by its task and time, newest first. Done
/// tasks come at the top and nothing else changes (a task that is done again moves there), so the newest few tell
/// everything; where they do not reach back to what is known, none: all must be read again.
pub fn kept_up(known: &[PastTask], newest: Vec<PastTask>, most: usize) -> Option<Vec<PastTask>> {
    let last = known.first()?.at;
    // Tasks of the same moment are in no order of arrival: those are taken from what was read now.
    let since = newest.iter().position(|task| task.at < last)?;
    let mut all = newest;
    all.truncate(since);
    let is_again: std::collections::BTreeSet<TaskId> = all.iter().map(|task| task.task).collect();
    let stay = known
        .iter()
        .filter(|task| task.at < last && !is_again.contains(&task.task));
    all.extend(stay.cloned());
    all.truncate(most);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: &str, agent: &str, outcome: Outcome) -> PastTask {
        PastTask {
            task: TaskId(0),
            sketch: Sketch::of(text),
            features: Some(Features::of(text)),
            kind: Kind::Debug,
            agent: agent.to_owned(),
            model: None,
            outcome,
            cost_nano: Some(10),
            at: Millis(0),
        }
    }

    #[test]
    fn alike_texts_have_alike_sketches() {
        let of = |text| Sketch::of(text);
        let one = of("Fix the login redirect in src/auth/session.rs when the cookie has expired");
        let near = of("Fix the login redirect in src/auth/session.rs when the cookie is missing");
        let far = of("Write a market report about electric bicycles in northern Europe for the board");
        assert_eq!(one.distance(&one), 0);
        assert!(one.distance(&near) <= DISTANCE_MAX, "{}", one.distance(&near));
        assert!(one.distance(&far) > DISTANCE_MAX, "{}", one.distance(&far));
        assert_eq!(Sketch::from_bytes(&one.to_bytes()), Some(one));
        assert_eq!(Sketch::from_bytes(&[1, 2, 3]), None);
    }

    #[test]
    fn sketches_are_the_same_for_ever() {
        // They are stored; a change of the hash would make strangers of all past tasks.
        let sketch = Sketch::of("Fix the flaky test of the parser");
        assert_eq!(format!("{:016x}", sketch.0[0]), "e6bf2d116ccb0121");
        assert_eq!(Sketch::of("Fix the tests"), Sketch::of("fix THE test"));
    }

    #[test]
    fn the_neighbours_speak_by_agent() {
        let like = "Fix the flaky test of the parser in tests/parser.rs";
        let other = "Write an announcement of the new release for the blog";
        let mut tasks = Vec::new();
        for number in 0..30 {
            tasks.push(task(
                like,
                "a",
                if number % 10 == 0 {
                    Outcome::GateFailed
                } else {
                    Outcome::Succeeded
                },
            ));
            tasks.push(task(
                like,
                "b",
                if number % 2 == 0 {
                    Outcome::GateFailed
                } else {
                    Outcome::Succeeded
                },
            ));
            tasks.push(task(other, "b", Outcome::Succeeded));
        }
        let past = Past::of(tasks);
        let told = past.similar(&Sketch::of("Fix the flaky test of the parser in tests/lexer.rs"));
        let count: u32 = told.values().map(|similar| similar.count.tasks).sum();
        assert_eq!(count, NEIGHBOURS as u32);
        let share = |name| told[&past.number(name, None).unwrap()].count.mean();
        assert!(share("a") > share("b"));
        assert_eq!(past.costs(&Sketch::of(like), "a", None), [10; 30]);
        assert_eq!(past.costs(&Sketch::of(other), "a", None), [0; 0]);
        assert_eq!(past.costs(&Sketch::of(like), "nobody", None), [0; 0]);
        assert!(past.similar(&Sketch::of("数独を解く Lösung für Quadratur")).is_empty());
    }

    #[test]
    fn health_is_about_faults_of_its_own_and_not_about_hard_tasks() {
        let past = Past::of([
            task("x", "a", Outcome::Overloaded),
            task("x", "a", Outcome::GateFailed),
            task("x", "a", Outcome::Succeeded),
            task("x", "a", Outcome::Auth),
            task("x", "b", Outcome::Cancelled),
        ]);
        assert_eq!(past.health("a", None), (0.5, 4));
        assert_eq!(past.health("b", None), (1.0, 0));
        assert_eq!(past.tasks(), 2);
        let (successes, failures) = past.recent("a", None);
        assert!(failures == 1.0 && successes < 1.0 && successes > 0.99);
        assert_eq!(past.recent("b", None), (0.0, 0.0));
        assert_eq!(
            past.recent("a", Some("m")),
            (0.0, 0.0),
            "with another model it is another"
        );
    }

    /// A list that is kept up is the list that would be read anew, whatever was done in between.
    #[test]
    fn what_is_kept_up_is_what_would_be_read() {
        const MOST: usize = 20;
        let mut state = 7_u64;
        let mut chance = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let (mut table, mut now) = (BTreeMap::<TaskId, PastTask>::new(), 0);
        let mut known: Vec<PastTask> = Vec::new();
        let (mut kept, mut anew) = (0, 0);
        for _ in 0..2_000 {
            for _ in 0..chance(6) {
                now += chance(3);
                let again = TaskId(chance(60));
                let mut one = task("x", "a", Outcome::Succeeded);
                (one.task, one.at, one.cost_nano) = (again, Millis(now), Some(chance(1_000)));
                table.insert(again, one);
            }
            let mut all: Vec<PastTask> = table.values().cloned().collect();
            all.sort_by_key(|task| std::cmp::Reverse((task.at, task.task)));
            let page: Vec<PastTask> = all.iter().take(6).cloned().collect();
            all.truncate(MOST);
            known = match kept_up(&known, page, MOST) {
                Some(list) => {
                    kept += 1;
                    list
                }
                None => {
                    anew += 1;
                    all.clone()
                }
            };
            assert_eq!(known, all);
        }
        assert!(kept > 100 && anew > 100, "both ways are taken: {kept} {anew}");
    }

    #[test]
    fn intervals_hold_the_share_and_shrink() {
        let (low, high) = Count {
            tasks: 10,
            succeeded: 8,
        }
        .interval();
        assert!(low < 0.8 && 0.8 < high && low > 0.4);
        let (closer, _) = Count {
            tasks: 1_000,
            succeeded: 800,
        }
        .interval();
        assert!(closer > low);
        assert_eq!(Count::default().interval(), (0.0, 1.0));
    }
}

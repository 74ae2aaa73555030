//! `workflow` and `skip_if`: who has which part, what is left out and why, and what it will take.

use std::collections::HashSet;

use super::{AUTO, EXEC, Inside, Resolve};
use crate::analysis::{Analysis, Facts, analyse};
use crate::ids::{AgentName, TaskKey};
use crate::plan::flow::{CREW_MAX, Over as WrittenOver, Which, Wish};
use crate::plan::problem::{Place, shortened};
use crate::plan::walk::listed;
use crate::plan::wire::At;
use crate::price::Billing;
use crate::route::Question;
use crate::spec::{TaskSpec, Work};
use crate::workflow::cascade::{CONFIDENCE_MIN, Cascade, RUNGS_MAX, STRIKES};
use crate::workflow::condition::{Condition, FACTS};
use crate::workflow::consensus::{self, Rule};
use crate::workflow::crew::Crew;
use crate::workflow::map::{IN_FLIGHT, INPUTS_MAX, Map, Over, Reduce};
use crate::workflow::panel::Panel;
use crate::workflow::qc::{self, Qc};
use crate::workflow::report::Skipped;
use crate::workflow::{self, Flow, Hand, Shortcut, Workflow, crew};

/// How many rungs a cascade has that names none.
const RUNGS: usize = 3;
/// How many seats a consensus has at least that names none.
const SEATS_MIN: usize = 2;

/// A task with its wish, while its workflow is put together.
struct Of<'t> {
    own: &'t str,
    spec: &'t TaskSpec,
    wish: &'t Wish,
    analysis: Analysis,
    place: usize,
}

impl Resolve<'_, '_> {
    /// The conditions under which the task is not needed.
    fn conditions(&mut self, own: &str, texts: Vec<At<String>>, needs: &[TaskKey]) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for text in texts {
            let mut refuse = |message: String, help: String| {
                self.reporter
                    .error("bad-condition", text.at, &text.value, message, help);
            };
            let mut condition = match Condition::parse(&text.value) {
                Ok(condition) => condition,
                Err(why) => {
                    let facts = listed(FACTS.iter().map(|fact| fact.name()));
                    let help = format!("write `score >= 8`, or `TASK.score >= 8`; a task leaves {facts}");
                    refuse(format!("{own}: `skip_if`: {why}"), help);
                    continue;
                }
            };
            match (&condition.task, needs) {
                (Some(task), needs) if needs.contains(task) => {}
                (Some(task), _) => refuse(
                    format!("{own}: `skip_if` names `{task}`, which it does not need"),
                    format!("add `{task}` to its `needs`, so that the fact is there"),
                ),
                (None, [only]) => condition.task = Some(only.clone()),
                (None, _) => refuse(
                    format!(
                        "{own}: `skip_if: {}` does not say whose {} is meant",
                        text.value,
                        condition.fact.name()
                    ),
                    "name the task: `TASK.score >= 8`; without a name it is the only one that is needed".to_owned(),
                ),
            }
            conditions.push(condition);
        }
        conditions
    }

    /// A flow that says only when its task is not needed, and whether code may do it.
    pub(super) fn unless(
        &mut self,
        own: &str,
        (skip_if, skip_audit): (Vec<At<String>>, Option<At<u8>>),
        (is_exec, shortcut): (bool, Option<At<Shortcut>>),
        needs: &[TaskKey],
    ) -> Flow {
        Flow {
            skip_audit: self.audited(own, skip_audit, &skip_if),
            skip_if: self.conditions(own, skip_if, needs),
            shortcut: self.shortcut(own, is_exec, shortcut),
            ..Flow::default()
        }
    }

    /// In how many of 100 cases a task is done that is not needed.
    fn audited(&mut self, own: &str, audit: Option<At<u8>>, skip_if: &[At<String>]) -> Option<u8> {
        let audit = audit?;
        if skip_if.is_empty() {
            let message = format!("{own} has `skip_audit` and no `skip_if`: it is never skipped");
            let help = "add `skip_if: score >= 8`, or take `skip_audit` out";
            self.reporter
                .error("bad-condition", audit.at, "skip_audit", message, help);
        }
        Some(audit.value)
    }

    /// Whether code may do it in its agent's place; of a command that says nothing.
    fn shortcut(&mut self, own: &str, is_exec: bool, shortcut: Option<At<Shortcut>>) -> Option<Shortcut> {
        let shortcut = shortcut?;
        if is_exec {
            let message = format!("{own} is a command: no agent does it, and `shortcut` has no meaning for it");
            let help = "take `shortcut` out, or write what is to be done as a `prompt`";
            self.reporter
                .warning("exec-shortcut", shortcut.at, "shortcut", message, help);
            return None;
        }
        Some(shortcut.value)
    }

    /// Makes a workflow of a task that wishes for one. Its agents were chosen before.
    pub(super) fn flow(&mut self, place: usize, own: &str, spec: TaskSpec, wish: Option<&Wish>) -> Option<TaskSpec> {
        let Some(wish) = wish else { return Some(spec) };
        let at = wish.which.at;
        self.keys_fit(own, wish);
        let text = match (&spec.work, wish.which.value) {
            (Work::Prompt(text), _) | (Work::Exec(text), Which::Map) => text.clone(),
            _ => {
                let message = format!("{own}: a command cannot be a `{}`", wish.which.value.name());
                let help = "write `prompt`; of the workflows only `map` takes a command";
                self.reporter.error("bad-workflow", at, "", message, help);
                return None;
            }
        };
        if spec.planner {
            let message = format!("{own}: a workflow cannot return tasks");
            let help = "make two tasks of it: one with `plan: true`, and one that is a workflow";
            self.reporter.error("bad-workflow", at, "", message, help);
        }
        let of = Of {
            own,
            spec: &spec,
            wish,
            analysis: analyse(&Facts {
                text: &text,
                files: &spec.files,
                checks: spec.verify.len(),
                material_tokens: None,
            }),
            place,
        };
        let workflow = match wish.which.value {
            Which::Qc => self.qc(&of).map(Workflow::Qc),
            Which::Consensus => self.consensus(&of).map(Workflow::Consensus),
            Which::Cascade => self.cascade(&of).map(Workflow::Cascade),
            Which::Map | Which::ParallelValidate => self.map(&of).map(Workflow::Map),
        }?;
        let mut spec = spec;
        spec.agent = AgentName(workflow::AGENT.to_owned());
        spec.fallback = Vec::new();
        spec.model = None;
        spec.flow.workflow = Some(Box::new(workflow));
        Some(spec)
    }

    fn keys_fit(&mut self, own: &str, wish: &Wish) {
        let which = wish.which.value;
        for (key, at) in &wish.given {
            if which.keys().contains(key) {
                continue;
            }
            let message = format!("{own}: `{key}` has no meaning for a `{}`", which.name());
            let help = format!("it takes {}", listed(which.keys().iter().copied()));
            self.reporter.error("bad-workflow", *at, key, message, help);
        }
    }

    fn qc(&mut self, of: &Of<'_>) -> Option<Qc> {
        let (own, wish) = (of.own, of.wish);
        let author = self.author(of);
        let sort = wish.sort.map_or(of.analysis.kind.value, |sort| sort.value);
        let steps = qc::steps(
            wish.stakes.map(|stakes| stakes.value).unwrap_or_default(),
            of.analysis.risk.value,
            wish.deadline.map(|deadline| deadline.value.ms),
            !of.spec.verify.is_empty(),
            sort,
        );
        // Who names a reviewer wants the cross-check, whatever the table says.
        let reviewer = match (&wish.reviewer, steps.cross_check) {
            (Some(name), _) => Some(self.judge(own, name, &author)?),
            (None, false) => None,
            (None, true) => Some(self.other_vendor(of, &author)?),
        };
        let reserve = self.qc_reserve(of, &author, reviewer.as_ref(), steps.self_review)?;
        let editor = match &wish.editor {
            Some(name) => {
                let hand = self.hand(name)?;
                self.may_decide(own, name, "incorporate what others found")?;
                Some(hand)
            }
            None if steps.incorporate == qc::Incorporate::Never && reviewer.is_none() && reserve.is_empty() => None,
            None => self.somebody_else(of, &author, &reserve),
        };
        let named = wish.reviewer.is_some();
        Some(Qc {
            self_review: steps.self_review,
            incorporate: steps.incorporate,
            enough: wish.enough.and_then(|enough| u8::try_from(enough.value).ok()),
            skipped: steps
                .skipped
                .into_iter()
                .filter(|skipped| !(named && skipped.step == "cross-check"))
                .collect::<Vec<Skipped>>(),
            author,
            reviewer,
            reserve,
            editor,
        })
    }

    /// Who may be called in to check: like every judge not the author, nor of its vendor; nor whoever is there already.
    fn qc_reserve(&mut self, of: &Of<'_>, author: &Hand, reviewer: Option<&Hand>, reviewed: bool) -> Option<Vec<Hand>> {
        let (own, wish) = (of.own, of.wish);
        let Some(first) = wish.reserve.first() else {
            return Some(Vec::new());
        };
        if reviewer.is_none() && !reviewed {
            let message = format!("{own}: nobody looks at it first, so nobody can be called in by what was found");
            let help = "take `reserve` out, name a `reviewer`, or give it more time";
            self.reporter
                .error("bad-workflow", first.at, &first.value, message, help);
            return None;
        }
        for name in &wish.reserve {
            self.judge(own, name, author)?;
        }
        let editor = wish.editor.iter().filter_map(|name| self.hand(name));
        let there: Vec<Hand> = reviewer.cloned().into_iter().chain(editor).collect();
        self.reserve(own, &wish.reserve, &there)
    }

    /// A judge that the plan names: not the author, nor of its vendor.
    fn judge(&mut self, own: &str, name: &At<String>, author: &Hand) -> Option<Hand> {
        let hand = self.hand(name)?;
        let why = if hand.agent == author.agent {
            format!("{own}: `{}` would judge its own work", hand.agent)
        } else if hand.vendor == author.vendor {
            format!(
                "{own}: `{}` is of {}, as the author `{}` is: their blind spots are the same",
                hand.agent, hand.vendor, author.agent
            )
        } else {
            return Some(hand);
        };
        let help = "name a reviewer of another vendor, or leave `reviewer` out to have one chosen";
        self.reporter.error("self-review", name.at, &name.value, why, help);
        None
    }

    fn other_vendor(&mut self, of: &Of<'_>, author: &Hand) -> Option<Hand> {
        // Who waits in reserve is another one than who looks first.
        let reserve = of.wish.reserve.iter().map(|name| AgentName(name.value.clone()));
        let busy: Vec<AgentName> = std::iter::once(author.agent.clone()).chain(reserve).collect();
        let found = self.reviewer(&busy, std::slice::from_ref(&author.vendor));
        if found.is_some() {
            return found;
        }
        let message = format!(
            "{}: nobody here is of another vendor than its author `{}` ({})",
            of.own, author.agent, author.vendor
        );
        let help = "configure an agent of another vendor (`wheelhouse doctor` says which are missing), name a `reviewer`, or \
                    say `stakes: low` to go without a cross-check";
        self.reporter
            .error("no-reviewer", of.wish.which.at, author.agent.as_str(), message, help);
        None
    }

    /// Who is best at reviews beside these; without a router the default agent, whoever it is.
    pub(super) fn reviewer(&mut self, not_agents: &[AgentName], not_vendors: &[String]) -> Option<Hand> {
        let Some(router) = self.context.router else {
            return Some(self.known(self.context.default_agent.clone()));
        };
        let question = Question {
            facts: Facts {
                text: "review this output independently for errors, gaps and biases",
                ..Facts::default()
            },
            not_agents,
            not_vendors,
            ..Question::default()
        };
        let choice = router.borrow_mut().assign(&question);
        choice.chosen().map(|chosen| Hand {
            agent: chosen.agent.clone(),
            model: chosen.model.clone(),
            vendor: self.vendor(&chosen.agent),
        })
    }

    /// Who resolves conflicts between remarks: judgement, and not the author's own where somebody else is there.
    /// Those in `reserve` would judge what they mended.
    fn somebody_else(&mut self, of: &Of<'_>, author: &Hand, reserve: &[Hand]) -> Option<Hand> {
        let router = self.context.router?;
        let Work::Prompt(text) = &of.spec.work else { return None };
        let busy = std::iter::once(author).chain(reserve);
        let busy: Vec<AgentName> = busy.map(|hand| hand.agent.clone()).collect();
        let question = Question {
            facts: Facts {
                text,
                ..Facts::default()
            },
            plans: true,
            not_agents: &busy,
            ..Question::default()
        };
        let choice = router.borrow_mut().assign(&question);
        choice.chosen().map(|chosen| Hand {
            agent: chosen.agent.clone(),
            model: chosen.model.clone(),
            vendor: self.vendor(&chosen.agent),
        })
    }

    fn consensus(&mut self, of: &Of<'_>) -> Option<Panel> {
        let (own, wish) = (of.own, of.wish);
        let at = wish.which.at;
        let seats = match wish.seats.as_slice() {
            [] => self.different_vendors(of, crew::size(&of.analysis).max(SEATS_MIN)),
            named => self.hands(own, named, consensus::SEATS_MAX)?,
        };
        let mut vendors: Vec<&str> = seats.iter().map(|seat| seat.vendor.as_str()).collect();
        vendors.sort_unstable();
        vendors.dedup();
        let usual = u32::try_from(vendors.len().min(SEATS_MIN)).unwrap_or(1);
        let rule = Rule {
            quorum: wish.quorum.map_or(usual.max(1), |quorum| quorum.value),
            veto: wish.veto.is_none_or(|veto| veto.value),
            rounds_max: wish.rounds.map_or(1, |rounds| rounds.value),
        };
        let named: Vec<consensus::Seat> = seats
            .iter()
            .map(|seat| consensus::Seat {
                name: seat.agent.to_string(),
                vendor: seat.vendor.clone(),
            })
            .collect();
        let reachable = match seats.as_slice() {
            [] => Err("nobody is there to vote".to_owned()),
            _ => consensus::reachable(rule, &named),
        };
        if let Err(why) = reachable {
            let help = "name seats of more vendors, or a smaller `quorum`";
            let at = wish.quorum.map_or(at, |quorum| quorum.at);
            self.reporter.error("no-quorum", at, "", format!("{own}: {why}"), help);
            return None;
        }
        if seats.len() > CREW_MAX {
            self.large(own, at, seats.len());
        }
        let reserve = self.reserve(own, &wish.reserve, &seats)?;
        Some(Panel { seats, reserve, rule })
    }

    fn large(&mut self, own: &str, at: Place, many: usize) {
        let message = format!("{own}: {many} agents take part; more than {CREW_MAX} seldom find more than they cost");
        let help = "`wheelhouse plan show` says what it costs; fewer seats of more vendors are worth more";
        self.reporter.warning("large-crew", at, "", message, help);
    }

    /// Seats of as many vendors as there are, up to `many`.
    fn different_vendors(&mut self, of: &Of<'_>, many: usize) -> Vec<Hand> {
        let Some(router) = self.context.router else {
            return vec![self.known(self.context.default_agent.clone())];
        };
        let Work::Prompt(text) = &of.spec.work else {
            return Vec::new();
        };
        let mut seats: Vec<Hand> = Vec::new();
        while seats.len() < many.min(CREW_MAX) {
            let agents: Vec<AgentName> = seats.iter().map(|seat| seat.agent.clone()).collect();
            let vendors: Vec<String> = seats.iter().map(|seat| seat.vendor.clone()).collect();
            let question = Question {
                facts: Facts {
                    text,
                    ..Facts::default()
                },
                not_agents: &agents,
                not_vendors: &vendors,
                ..Question::default()
            };
            let choice = router.borrow_mut().assign(&question);
            let Some(chosen) = choice.chosen() else { break };
            seats.push(Hand {
                agent: chosen.agent.clone(),
                model: chosen.model.clone(),
                vendor: self.vendor(&chosen.agent),
            });
        }
        seats
    }

    fn cascade(&mut self, of: &Of<'_>) -> Option<Cascade> {
        let (own, wish) = (of.own, of.wish);
        let rungs = match wish.rungs.as_slice() {
            [] => self.cheapest_first(of),
            named => self.hands(own, named, RUNGS_MAX)?,
        };
        if rungs.len() < 2 {
            let message = format!(
                "{own}: a cascade of {} has nowhere to go up to",
                super::super::problem::counted(rungs.len(), "rung")
            );
            let help = "name at least two agents, the cheapest first: `rungs: [haiku, sonnet]`";
            self.reporter
                .error("bad-workflow", wish.which.at, "rungs", message, help);
            return None;
        }
        let confidence = wish
            .confidence
            .map_or(u32::from(CONFIDENCE_MIN), |confidence| confidence.value);
        Some(Cascade {
            rungs,
            strikes: wish.strikes.map_or(STRIKES, |strikes| strikes.value),
            confidence_min: u8::try_from(confidence).unwrap_or(100),
        })
    }

    fn cheapest_first(&mut self, of: &Of<'_>) -> Vec<Hand> {
        let (Some(router), Work::Prompt(text)) = (self.context.router, &of.spec.work) else {
            return vec![self.known(self.context.default_agent.clone())];
        };
        let question = Question {
            facts: Facts {
                text,
                ..Facts::default()
            },
            ..Question::default()
        };
        let choice = router.borrow().decide(&question);
        let mut candidates: Vec<_> = choice.candidates.iter().collect();
        candidates.sort_by_key(|one| one.cost_tier);
        let mut seen = HashSet::new();
        let mut rungs: Vec<Hand> = candidates
            .into_iter()
            .filter(|one| seen.insert(one.cost_tier))
            .map(|one| Hand {
                agent: one.agent.clone(),
                model: one.model.clone(),
                vendor: self.vendor(&one.agent),
            })
            .collect();
        // The cheapest, the dearest, and what lies between.
        while rungs.len() > RUNGS {
            rungs.remove(1);
        }
        rungs
    }

    fn map(&mut self, of: &Of<'_>) -> Option<Map> {
        let (own, wish) = (of.own, of.wish);
        let at = wish.which.at;
        let is_command = matches!(of.spec.work, Work::Exec(_));
        let hands = match wish.agents.as_slice() {
            [] if is_command => Vec::new(),
            [] if wish.which.value == Which::ParallelValidate => {
                self.different_vendors(of, crew::size(&of.analysis).max(SEATS_MIN))
            }
            [] => vec![self.author(of)],
            named => self.hands(own, named, consensus::SEATS_MAX)?,
        };
        if is_command && !hands.is_empty() {
            let message = format!("{own} is a command; `agents` have no meaning for it");
            self.reporter.error(
                "exec-agent",
                at,
                "agents",
                message,
                "take `agents` out, or write `prompt`",
            );
        }
        let over = match &wish.over {
            Some(WrittenOver::Items(items)) => {
                if items.is_empty() || items.len() * hands.len().max(1) > INPUTS_MAX {
                    let message = format!(
                        "{own}: `over` has {} inputs for {} agents",
                        items.len(),
                        hands.len().max(1)
                    );
                    let help = format!("a map has 1 to {INPUTS_MAX} children");
                    self.reporter.error("bad-workflow", at, "over", message, help);
                }
                Over::Items(items.iter().map(|item| item.value.clone()).collect())
            }
            Some(WrittenOver::Task(task)) => {
                let key = TaskKey(task.value.clone());
                if !of.spec.needs.contains(&key) {
                    let message = format!(
                        "{own}: `over` names `{}`, which it does not need",
                        shortened(&task.value)
                    );
                    let help = format!(
                        "add `{key}` to its `needs`; its output lists the inputs, one a line or as a JSON list"
                    );
                    self.reporter.error("not-needed", task.at, &task.value, message, help);
                }
                Over::Output(key)
            }
            // The same content to several: one input, which is the task itself.
            None if wish.which.value == Which::ParallelValidate => Over::Items(vec![String::new()]),
            None => {
                let message = format!("{own}: a map has no `over`");
                let help = "write `over: [a, b, c]`, or `over: TASK` for the lines of a task's output";
                self.reporter.error("missing-key", at, "over", message, help);
                return None;
            }
        };
        let reduce = self.reduce(of)?;
        if is_command && let Some(name) = wish.reserve.first() {
            let message = format!("{own} is a command; nobody is called in to one");
            let help = "take `reserve` out, or write `prompt`";
            self.reporter.error("exec-agent", name.at, "reserve", message, help);
        }
        let reserve = self.reserve(own, &wish.reserve, &hands)?;
        Some(Map {
            over,
            hands,
            reserve,
            in_flight: wish.in_flight.map_or(IN_FLIGHT, |in_flight| in_flight.value),
            failures_max: wish.failures.map_or(0, |failures| failures.value),
            reduce,
        })
    }

    /// Absent, or with what makes it; the outer none says that it cannot be had.
    fn reduce(&mut self, of: &Of<'_>) -> Option<Option<Reduce>> {
        let wish = of.wish;
        let Some(text) = &wish.reduce else {
            if let Some(reducer) = &wish.reducer {
                let message = format!("{}: `reducer` without `reduce`", of.own);
                let help = "say what is to be made of the results: `reduce: …`";
                self.reporter
                    .error("bad-workflow", reducer.at, &reducer.value, message, help);
            }
            return Some(None);
        };
        self.says_something(of.own, "reduce", text)?;
        let inside = std::mem::replace(&mut self.inside, Inside::Reduce);
        self.template_of(of.place, of.own, text);
        self.inside = inside;
        let hand = match &wish.reducer {
            Some(name) => self.hand(name)?,
            None if matches!(of.spec.work, Work::Exec(_)) || of.spec.agent.as_str() == EXEC => self.chosen(&text.value),
            None => self.author(of),
        };
        Some(Some(Reduce {
            prompt: text.value.clone(),
            hand,
        }))
    }

    /// Whoever was chosen or named for the task itself.
    fn author(&self, of: &Of<'_>) -> Hand {
        Hand {
            model: of.spec.model.clone(),
            ..self.known(of.spec.agent.clone())
        }
    }

    fn chosen(&mut self, text: &str) -> Hand {
        let default = self.known(self.context.default_agent.clone());
        let Some(router) = self.context.router else {
            return default;
        };
        let question = Question {
            facts: Facts {
                text,
                ..Facts::default()
            },
            ..Question::default()
        };
        let choice = router.borrow_mut().assign(&question);
        choice.chosen().map_or(default, |chosen| Hand {
            agent: chosen.agent.clone(),
            model: chosen.model.clone(),
            vendor: self.vendor(&chosen.agent),
        })
    }

    pub(super) fn hands(&mut self, own: &str, names: &[At<String>], most: usize) -> Option<Vec<Hand>> {
        let hands: Vec<Option<Hand>> = names.iter().map(|name| self.hand(name)).collect();
        let hands: Vec<Hand> = hands.into_iter().collect::<Option<_>>()?;
        let first = names.first().map(|name| name.at).unwrap_or_default();
        if hands.len() > most {
            let message = format!("{own}: {} agents are named; {most} may be", hands.len());
            self.reporter
                .error("bad-workflow", first, "", message, "name fewer, of different vendors");
        }
        let mut seen = HashSet::new();
        for (hand, name) in hands.iter().zip(names) {
            if !seen.insert(&hand.agent) {
                let message = format!("{own}: `{}` is named twice", hand.agent);
                let help = "one agent has one voice; name another";
                self.reporter.error("bad-workflow", name.at, &name.value, message, help);
            }
        }
        Some(hands)
    }

    /// Who waits until it is called in: nobody who is there already.
    fn reserve(&mut self, own: &str, names: &[At<String>], there: &[Hand]) -> Option<Vec<Hand>> {
        for name in names
            .iter()
            .filter(|name| there.iter().any(|hand| hand.agent.as_str() == name.value))
        {
            let message = format!("{own}: `{}` has a seat, and cannot be called in as well", name.value);
            let help = "name it once: as one who is heard in any case, or in `reserve`";
            self.reporter.error("bad-workflow", name.at, &name.value, message, help);
        }
        self.hands(own, names, consensus::SEATS_MAX)
    }

    fn hand(&mut self, name: &At<String>) -> Option<Hand> {
        let known = self.context.agents.iter().find(|agent| agent.as_str() == name.value);
        match known.filter(|agent| ![EXEC, AUTO].contains(&agent.as_str())) {
            Some(agent) => Some(self.known(agent.clone())),
            None => {
                self.unknown_agent(name);
                None
            }
        }
    }

    pub(super) fn known(&self, agent: AgentName) -> Hand {
        Hand {
            vendor: self.vendor(&agent),
            model: None,
            agent,
        }
    }

    /// Whose an agent is. Of an agent that nobody knows anything about nobody can say that it is another's: it is its own.
    pub(super) fn vendor(&self, agent: &AgentName) -> String {
        let of_roster = self.context.router.and_then(|router| {
            let router = router.borrow();
            let own = router.candidates().iter().find(|one| one.agent == *agent);
            own.map(|candidate| candidate.entry.vendor.clone())
        });
        of_roster
            .filter(|vendor| !vendor.is_empty() && vendor != "any")
            .unwrap_or_else(|| agent.to_string())
    }

    /// What others do is decided by those whose tools let them: a grinder makes no strategic call.
    pub(super) fn may_decide(&mut self, own: &str, name: &At<String>, what: &str) -> Option<()> {
        let may = self.context.router.is_none_or(|router| {
            let router = router.borrow();
            let of_name = router.candidates().iter().find(|one| one.agent.as_str() == name.value);
            of_name.is_none_or(|one| one.standing.may_plan)
        });
        if may {
            return Some(());
        }
        let message = format!(
            "{own}: `{}` may not {what}: that is a decision, and its tools do not let it decide",
            name.value
        );
        let help = "name an orchestrator, or give it `spawn_agent` among its `tools` in the routing file";
        self.reporter
            .error("may-not-decide", name.at, &name.value, message, help);
        None
    }

    /// Who takes part in each workflow, and what that is expected to take.
    pub(super) fn crews(&mut self, specs: &[(TaskSpec, Place)]) -> Vec<Crew> {
        let mut crews = Vec::new();
        for (spec, _) in specs {
            let Some(workflow) = spec.flow.workflow.as_deref() else {
                continue;
            };
            let expected = match (self.context.router, &spec.work) {
                (Some(router), Work::Prompt(text)) => {
                    let question = Question {
                        facts: Facts {
                            text,
                            files: &spec.files,
                            checks: spec.verify.len(),
                            material_tokens: None,
                        },
                        ..Question::default()
                    };
                    router.borrow().decide(&question).candidates
                }
                _ => Vec::new(),
            };
            let try_nano = |hand: &Hand| {
                let of_it = expected.iter().find(|one| one.agent == hand.agent)?;
                match of_it.expected.billing {
                    Billing::Free | Billing::Subscription => Some(0),
                    _ => of_it.expected.cost_nano,
                }
            };
            crews.push(crew::crew(&spec.key, workflow, try_nano));
        }
        crews
    }

    /// Steps of a workflow are called like it, with a dot; nothing else may be called so.
    pub(super) fn step_names(&mut self, specs: &[(TaskSpec, Place)]) {
        let others: Vec<TaskKey> = self.existing.to_vec();
        for (spec, at) in specs.iter().filter(|(spec, _)| spec.flow.workflow.is_some()) {
            let steps = format!("{}{}", spec.key, workflow::SEPARATOR);
            let taken = specs.iter().map(|(other, _)| &other.key).chain(&others);
            let taken = taken.into_iter().find(|key| key.as_str().starts_with(&steps));
            let inside = others
                .iter()
                .find(|key| spec.key.as_str().starts_with(&format!("{key}{}", workflow::SEPARATOR)));
            if let Some(taken) = taken.or(inside) {
                let message = format!("`{}` is a workflow, and `{taken}` could be one of its steps", spec.key);
                let help = "its steps are called `ID.STEP`; give one of the two another id";
                self.reporter.error("step-name", *at, spec.key.as_str(), message, help);
            }
        }
    }
}

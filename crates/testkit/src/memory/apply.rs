//! One command at a time: to the function that applies it, and through [`World::follow_up`] to its consequences.

use wheelhouse_core::store::{Command, Refused, Reply};
use wheelhouse_core::time::Millis;

use super::world::World;

impl World {
    pub(super) fn apply(&mut self, now: Millis, command: &Command) -> Result<Reply, Refused> {
        self.now = now;
        let answer = match command {
            Command::Once { key, digest, command } => self.once(now, key, digest, command),
            Command::SubmitRun { run, tasks } => self.submit_run(run, tasks),
            Command::AddTasks { run, tasks } => self.add_tasks(*run, tasks),
            Command::Claim(request) => Ok(self.claim(request)),
            Command::Start { lease, start } => self.start(*lease, start),
            Command::Report { lease, kind, text } => self.report(*lease, kind, text),
            Command::Ask {
                lease,
                kind,
                request,
                text,
            } => self.ask_running(*lease, *kind, request, text),
            Command::Steer { task, words } => self.steer(*task, words),
            Command::Heartbeat { leases, lease_ms } => Ok(self.heartbeat(leases, *lease_ms)),
            Command::Settle { lease, settlement } => self.settle(*lease, settlement),
            Command::Await {
                lease,
                children,
                open_max,
            } => self.await_children(*lease, children, *open_max),
            Command::Return { lease, why, spending } => self.give_back_leased(*lease, why, spending),
            Command::Meter { lease, reading } => self.meter(*lease, reading),
            Command::NoteAllowance(allowance) => Ok(self.note_allowance(allowance)),
            Command::SetBudget { scope, limit_nano } => self.set_budget(scope, *limit_nano),
            Command::RaiseBudget { scope, by_nano } => self.raise_budget(scope, *by_nano),
            Command::Rate { task, stars, words } => self.rate(*task, *stars, words),
            Command::ExpireLeases => Ok(self.expire_leases()),
            Command::Recover { me, go_on } => Ok(self.recover(me, *go_on)),
            Command::PauseRun { run } => self.pause_run(*run),
            Command::ResumeRun { run } => self.resume_run(*run),
            Command::ResumeInterrupted => Ok(self.resume_interrupted()),
            Command::CancelRun { run } => self.cancel_run(*run),
            Command::CancelTask { task } => self.cancel_task(*task),
            Command::RetryTask { task } => self.retry_task(*task),
            Command::RetryRun { run } => self.retry_run(*run),
            Command::Answer {
                question,
                answer,
                resolution,
            } => self.answer(*question, answer, *resolution),
            Command::Prune { before } => Ok(self.prune(*before)),
            Command::Crew(command) => self.apply_crew(command),
        };
        self.follow_up();
        answer
    }

    fn once(&mut self, now: Millis, key: &str, digest: &str, command: &Command) -> Result<Reply, Refused> {
        if let Some((_, used_for, reply)) = self.once.get(key) {
            return match used_for == digest {
                true => Ok(reply.clone()),
                false => Err(Refused::KeyReused(key.to_owned())),
            };
        }
        let reply = self.apply(now, command)?;
        if matches!(reply, Reply::Done | Reply::Submitted { .. }) {
            self.once
                .insert(key.to_owned(), (now, digest.to_owned(), reply.clone()));
        }
        Ok(reply)
    }
}

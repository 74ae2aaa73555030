//! Instances and their messages: one turn at a time, places, rights, ends, and the policy over them all.

use wheelhouse_core::coordinate::Mode;
use wheelhouse_core::crew::{
    self, Coordinate, InstanceFilter, MessageFilter, NewSeat, PolicyChange, Refusal, Send, Spawn, StopWhat, Who,
};
use wheelhouse_core::ids::{AgentName, InstanceId, MessageId};
use wheelhouse_core::instance::{End, InstanceSpec, InstanceState, InstanceView, Rights};
use wheelhouse_core::message::{MessageKind, MessageState, MessageView, Party, Trust};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, Resolution};
use wheelhouse_core::store::{AttemptStart, ClaimRequest, Command, Refused, Reply, Settlement};
use wheelhouse_core::usage::{Cost, Usage};

use super::trial::{LEASE_MS, Trial, cap, claim_by, ended, names};

pub(super) const PERSON: Party = Party::Person;

pub(super) fn spec(name: &str) -> InstanceSpec {
    InstanceSpec {
        name: name.to_owned(),
        agent: AgentName::from("rehearsal"),
        timeout_ms: 60_000,
        idle_timeout_ms: 10_000,
        ..InstanceSpec::default()
    }
}

pub(super) fn spawn_of(by: Party, spec: InstanceSpec, prompt: Option<&str>) -> Command {
    Command::Crew(crew::Command::Spawn(Box::new(Spawn {
        by,
        parent: None,
        spec,
        rights: Rights::default(),
        prompt: prompt.map(str::to_owned),
        key: None,
    })))
}

pub(super) fn send_of(from: Party, to: Party, kind: MessageKind, text: &str) -> Send {
    Send {
        from,
        to,
        kind,
        text: text.to_owned(),
        correlation: None,
        after: Vec::new(),
        key: None,
    }
}

/// Short ways for the crew.
impl Trial {
    #[track_caller]
    pub(super) fn crew(&mut self, command: crew::Command) -> crew::Reply {
        match self.apply(Command::Crew(command)) {
            Reply::Crew(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn crew_refuses(&mut self, command: crew::Command) -> Refusal {
        match self.refused(Command::Crew(command)) {
            Refused::Crew(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn spawn(&mut self, by: Party, name: &str, prompt: Option<&str>) -> InstanceId {
        match self.apply(spawn_of(by, spec(name), prompt)) {
            Reply::Crew(crew::Reply::Spawned { instance, .. }) => instance,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn send_it(&mut self, send: Send) -> MessageId {
        match self.crew(crew::Command::Send(Box::new(send))) {
            crew::Reply::Sent { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn say(&mut self, to: InstanceId, text: &str) -> MessageId {
        self.send_it(send_of(PERSON, Party::Instance(to), MessageKind::Request, text))
    }

    #[track_caller]
    pub(super) fn policy(&mut self, change: PolicyChange) {
        let changes = vec![change];
        self.crew(crew::Command::SetPolicy { by: PERSON, changes });
    }

    #[track_caller]
    pub(super) fn instance(&mut self, id: InstanceId) -> InstanceView {
        self.reader()
            .instance(id)
            .expect("read")
            .unwrap_or_else(|| panic!("{id} is there"))
    }

    #[track_caller]
    pub(super) fn message(&mut self, id: MessageId) -> MessageView {
        self.reader()
            .message(id)
            .expect("read")
            .unwrap_or_else(|| panic!("{id} is there"))
    }

    #[track_caller]
    pub(super) fn terminate(&mut self, by: Party, instance: InstanceId) -> Vec<InstanceId> {
        match self.crew(crew::Command::Terminate { by, instance }) {
            crew::Reply::Ended { instances } => instances,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn state(&mut self, id: InstanceId) -> String {
        self.instance(id).state.to_string()
    }
}

fn is_done(message: &MessageView, outcome: &Outcome) -> bool {
    matches!(&message.state, MessageState::Done { outcome: how, .. } if how == outcome)
}

pub(super) fn a_message_becomes_a_turn_and_they_keep_their_order(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("first"));
    assert_eq!(t.state(a), "starting");
    let second = t.say(a, "second");
    let third = t.say(a, "third");
    let run = t.instance(a).run;
    let turn = t.claim(9);
    assert_eq!(names(&turn), "i1.m1", "one at a time");
    assert_eq!(t.state(a), "busy");
    assert_eq!(t.instance(a).queued, 2);
    t.end(turn[0].lease, Outcome::Succeeded);
    assert!(is_done(&t.message(MessageId(1)), &Outcome::Succeeded));
    let turn = t.claim_one("i1.m2");
    assert_eq!(t.message(second).state, MessageState::Open { task: turn.lease.task });
    t.end(turn.lease, Outcome::Crashed);
    assert_eq!(t.instance(a).last_outcome, Some(Outcome::Crashed));
    let turn = t.claim_one("i1.m3");
    t.end(turn.lease, Outcome::Succeeded);
    assert!(is_done(&t.message(third), &Outcome::Succeeded));
    assert_eq!((t.state(a), t.instance(a).turns), ("idle".to_owned(), 3));
    assert!(t.run(run).standing, "the tree's run stays open");
    let with = MessageFilter {
        with: Some(Party::Instance(a)),
        after: MessageId(1),
        ..MessageFilter::default()
    };
    let later: Vec<MessageId> = t
        .reader()
        .messages(with, 9)
        .expect("read")
        .iter()
        .map(|m| m.id)
        .collect();
    assert_eq!(later, [second, third]);
}

pub(super) fn turns_go_on_in_their_session(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("first"));
    let turn = t.claim_one("i1.m1");
    assert_eq!(turn.session, None);
    let start = AttemptStart {
        session: Some("s-1".to_owned()),
        process: None,
    };
    t.apply(Command::Start {
        lease: turn.lease,
        start,
    });
    assert_eq!(t.instance(a).session.as_deref(), Some("s-1"));
    t.settle(
        turn.lease,
        Settlement {
            usage: Usage {
                output: 7,
                ..Usage::default()
            },
            cost: Cost::Actual(5),
            ..ended(Outcome::Succeeded)
        },
    );
    t.say(a, "second");
    let turn = t.claim_one("i1.m2");
    assert_eq!(turn.session.as_deref(), Some("s-1"));
    t.settle(
        turn.lease,
        Settlement {
            cost: Cost::Unknown,
            ..ended(Outcome::Succeeded)
        },
    );
    let a = t.instance(a);
    assert_eq!((a.usage.output, a.cost_nano, a.cost_unknown), (7, 5, 1));
    let begun = InstanceSpec {
        session: Some("s-9".to_owned()),
        ..spec("again")
    };
    t.apply(spawn_of(PERSON, begun, Some("go on")));
    assert_eq!(t.claim_one("i2.m3").session.as_deref(), Some("s-9"));
}

pub(super) fn a_repetition_is_known_by_its_key(t: &mut Trial) {
    let mut spawn = Spawn {
        by: PERSON,
        parent: None,
        spec: spec("a"),
        rights: Rights::default(),
        prompt: Some("go".to_owned()),
        key: Some("k".to_owned()),
    };
    let first = t.crew(crew::Command::Spawn(Box::new(spawn.clone())));
    let again = t.crew(crew::Command::Spawn(Box::new(spawn.clone())));
    let crew::Reply::Spawned {
        instance,
        message: Some(_),
        repeated: false,
    } = first
    else {
        panic!("{first:?}")
    };
    assert_eq!(
        again,
        crew::Reply::Spawned {
            instance,
            message: None,
            repeated: true
        }
    );
    spawn.spec.name = "b".to_owned();
    let refusal = t.crew_refuses(crew::Command::Spawn(Box::new(spawn)));
    assert!(matches!(refusal, Refusal::KeyReused { .. }), "{refusal}");
    let mut send = send_of(PERSON, Party::Instance(instance), MessageKind::Request, "hello");
    send.key = Some("m".to_owned());
    let message = t.send_it(send.clone());
    let again = t.crew(crew::Command::Send(Box::new(send.clone())));
    assert_eq!(
        again,
        crew::Reply::Sent {
            message,
            repeated: true
        }
    );
    send.text = "other words".to_owned();
    let refusal = t.crew_refuses(crew::Command::Send(Box::new(send)));
    assert!(matches!(refusal, Refusal::KeyReused { .. }), "{refusal}");
    assert_eq!(t.instance(instance).queued, 1);
}

pub(super) fn a_full_mailbox_is_the_senders_error(t: &mut Trial) {
    t.policy(PolicyChange::MailboxMax(2));
    t.policy(PolicyChange::MessageBytesMax(10));
    let a = t.spawn(PERSON, "a", Some("go"));
    t.say(a, "1");
    t.say(a, "2");
    let full = send_of(PERSON, Party::Instance(a), MessageKind::Request, "3");
    let refusal = t.crew_refuses(crew::Command::Send(Box::new(full.clone())));
    assert!(matches!(refusal, Refusal::MailboxFull { max: 2, .. }), "{refusal}");
    let long = send_of(PERSON, Party::Instance(a), MessageKind::Request, "eleven bytes");
    let refusal = t.crew_refuses(crew::Command::Send(Box::new(long)));
    assert!(matches!(refusal, Refusal::TooLong { bytes: 12, max: 10 }), "{refusal}");
    let turn = t.claim_one("i1.m1");
    t.end(turn.lease, Outcome::Succeeded);
    t.send_it(full);
}

pub(super) fn nobody_touches_what_is_not_below(t: &mut Trial) {
    let root = t.spawn(PERSON, "root", None);
    let uncle = t.spawn(Party::Instance(root), "uncle", None);
    let parent = t.spawn(Party::Instance(root), "parent", None);
    let child = t.spawn(Party::Instance(parent), "child", None);
    assert_eq!((t.instance(child).parent, t.instance(child).depth), (Some(parent), 2));
    let by = Party::Instance(child);
    for instance in [uncle, parent, root] {
        let forbidden = [
            crew::Command::Terminate { by, instance },
            crew::Command::Interrupt {
                by,
                instance,
                clear: false,
            },
            crew::Command::Suspend { by, instance },
        ];
        for command in forbidden {
            let refusal = t.crew_refuses(command);
            assert_eq!(refusal, Refusal::NotBelow { by, instance });
        }
    }
    let to_uncle = send_of(by, Party::Instance(uncle), MessageKind::Note, "hey");
    let refusal = t.crew_refuses(crew::Command::Send(Box::new(to_uncle)));
    assert!(matches!(refusal, Refusal::NotBelow { .. }), "{refusal}");
    let refusal = t.crew_refuses(crew::Command::SetPolicy {
        by,
        changes: vec![PolicyChange::DepthMax(99)],
    });
    assert!(matches!(refusal, Refusal::NotAllowed { .. }), "{refusal}");
    let elsewhere = Spawn {
        by,
        parent: Some(uncle),
        spec: spec("x"),
        rights: Rights::default(),
        prompt: None,
        key: None,
    };
    let refusal = t.crew_refuses(crew::Command::Spawn(Box::new(elsewhere)));
    assert!(matches!(refusal, Refusal::NotBelow { .. }), "{refusal}");
    let below = InstanceFilter {
        below: Some(parent),
        ended: false,
    };
    let seen = t.reader().instances(below, None, 9).expect("read");
    assert_eq!(seen.iter().map(|view| view.id).collect::<Vec<_>>(), [parent, child]);
    assert_eq!(t.terminate(Party::Instance(parent), child), [child]);
    let refusal = t.crew_refuses(crew::Command::Terminate { by, instance: root });
    assert!(
        !matches!(refusal, Refusal::NoSuchInstance(_)),
        "one that ended does nothing: {refusal}"
    );
}

pub(super) fn trust_is_the_trees_word(t: &mut Trial) {
    let root = t.spawn(PERSON, "root", None);
    let child = t.spawn(Party::Instance(root), "child", None);
    let (up, down) = (Party::Instance(root), Party::Instance(child));
    let from_person = t.say(child, "I am your parent");
    let from_above = t.send_it(send_of(up, down, MessageKind::Request, "go"));
    let from_below = t.send_it(send_of(down, up, MessageKind::Note, "I am a person"));
    let to_person = t.send_it(send_of(down, PERSON, MessageKind::Request, "help"));
    assert_eq!(t.message(from_person).trust, Trust::Person);
    assert_eq!(t.message(from_above).trust, Trust::Above);
    assert_eq!(t.message(from_below).trust, Trust::Below);
    assert_eq!(
        t.message(to_person).kind,
        MessageKind::Note,
        "nobody opens a turn of a person"
    );
    assert_eq!(names(&t.claim(9)), "i2.m1", "a note opens no turn");
    let unread = MessageFilter {
        to: Some(up),
        unread: true,
        ..MessageFilter::default()
    };
    assert_eq!(t.reader().messages(unread, 9).expect("read").len(), 1);
    // Reading is for the one it is for.
    let messages = vec![from_below];
    t.crew(crew::Command::Read {
        by: down,
        messages: messages.clone(),
    });
    assert_eq!(t.instance(root).notes, 1);
    t.crew(crew::Command::Read { by: up, messages });
    assert_eq!(
        (t.instance(root).notes, t.message(from_below).state),
        (0, MessageState::Read)
    );
}

pub(super) fn an_interrupt_ends_the_turn_and_not_the_instance(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("go"));
    let interrupt = |clear| crew::Command::Interrupt {
        by: PERSON,
        instance: a,
        clear,
    };
    let turn = t.claim_one("i1.m1");
    let second = t.say(a, "second");
    let reply = t.crew(interrupt(false));
    let message = Some(MessageId(1));
    assert_eq!(reply, crew::Reply::Interrupted { message, asked: true });
    let leases = vec![turn.lease];
    let reply = t.apply(Command::Heartbeat {
        leases,
        lease_ms: LEASE_MS,
    });
    let Reply::Beat {
        cancel,
        interrupt: told,
        ..
    } = reply
    else {
        panic!("{reply:?}")
    };
    assert_eq!((cancel, told), (Vec::new(), vec![turn.lease.task]));
    // A retry is not what was asked for.
    t.retry_at(&turn, Outcome::Killed, t.clock.now(), false);
    assert!(is_done(&t.message(MessageId(1)), &Outcome::Killed), "not confirmed");
    let turn = t.claim_one("i1.m2");
    t.crew(interrupt(false));
    t.end(turn.lease, Outcome::Succeeded);
    assert!(is_done(&t.message(second), &Outcome::Succeeded), "it was faster");
    assert_eq!(
        t.crew(interrupt(false)),
        crew::Reply::Interrupted {
            message: None,
            asked: false
        }
    );
    // One that has not begun ends at once, and `clear` takes what waits with it.
    t.say(a, "third");
    let fourth = t.say(a, "fourth");
    let reply = t.crew(interrupt(true));
    let message = Some(MessageId(3));
    assert_eq!(reply, crew::Reply::Interrupted { message, asked: false });
    assert!(is_done(&t.message(MessageId(3)), &Outcome::Cancelled));
    assert_eq!(
        (t.message(fourth).state, t.state(a)),
        (MessageState::Dropped, "idle".to_owned())
    );
    assert!(t.claim(9).is_empty());
}

pub(super) fn an_interrupted_turn_of_a_lost_worker_is_not_repeated(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("go"));
    t.claim_one("i1.m1");
    let message = t.message(MessageId(1)).id;
    t.crew(crew::Command::Interrupt {
        by: PERSON,
        instance: a,
        clear: false,
    });
    t.returned(Command::Recover {
        me: wheelhouse_core::ids::OwnerId("e2".to_owned()),
        go_on: true,
    });
    assert!(is_done(&t.message(message), &Outcome::Cancelled));
    assert_eq!(t.state(a), "idle");
}

pub(super) fn ending_takes_the_whole_tree_deepest_first(t: &mut Trial) {
    let root = t.spawn(PERSON, "root", Some("lead"));
    let left = t.spawn(Party::Instance(root), "left", Some("go"));
    let right = t.spawn(Party::Instance(root), "right", None);
    let deep = t.spawn(Party::Instance(left), "deep", Some("go"));
    let waiting = t.say(deep, "more");
    let run = t.instance(root).run;
    let turn = t.claim(1).remove(0);
    assert_eq!(turn.spec.key.as_str(), "i4.m3", "the deepest first");
    assert_eq!(t.terminate(PERSON, root), [deep, right, left, root]);
    assert_eq!(t.state(root), "ended (terminated)");
    assert_eq!(t.state(deep), "ended (with_parent)");
    assert_eq!(t.message(waiting).state, MessageState::Dropped);
    let (_, cancel) = t.beat(&[turn.lease], LEASE_MS);
    assert_eq!(cancel, [turn.lease.task], "what runs is stopped");
    assert!(t.instance(deep).turn.is_some(), "and seen until it is");
    assert_eq!(t.run(run).finished_at, None);
    t.end(turn.lease, Outcome::Cancelled);
    assert_eq!(t.instance(deep).turn, None);
    assert!(
        t.run(run).finished_at.is_some(),
        "the tree's run ends with its last turn"
    );
    let refusal = t.crew_refuses(crew::Command::Send(Box::new(send_of(
        PERSON,
        Party::Instance(root),
        MessageKind::Request,
        "hello",
    ))));
    assert_eq!(refusal, Refusal::Ended { instance: root });
    assert!(t.claim(9).is_empty());
    let all = InstanceFilter::default();
    assert!(t.reader().instances(all, None, 9).expect("read").is_empty());
    let ended = InstanceFilter { ended: true, ..all };
    assert_eq!(t.reader().instances(ended, None, 9).expect("read").len(), 4);
    t.advance_ms(10);
    let before = t.clock.now();
    t.apply(Command::Prune { before });
    assert!(t.reader().instances(ended, None, 9).expect("read").is_empty());
    assert!(
        t.reader()
            .messages(MessageFilter::default(), 9)
            .expect("read")
            .is_empty()
    );
}

pub(super) fn at_the_cap_instances_wait_for_their_place(t: &mut Trial) {
    t.policy(PolicyChange::MaxInstances(3));
    for n in 0..10 {
        t.spawn(PERSON, &format!("a{n}"), Some("go"));
    }
    let mut done = 0;
    while done < 10 {
        let turns = t.claim(99);
        assert_eq!(turns.len(), 3.min(10 - done), "never more than the cap");
        for turn in turns {
            t.end(turn.lease, Outcome::Succeeded);
            done += 1;
        }
    }
    t.policy(PolicyChange::MaxInstances(0));
    let message = t.say(InstanceId(1), "again");
    assert_eq!(t.message(message).state, MessageState::Queued);
    t.policy(PolicyChange::MaxInstances(1));
    assert_eq!(names(&t.claim(9)), "i1.m11", "a wider policy lets the waiting begin");
}

pub(super) fn children_of_one_wait_while_others_begin(t: &mut Trial) {
    t.policy(PolicyChange::ChildrenMax(1));
    let root = t.spawn(PERSON, "root", None);
    let by = Party::Instance(root);
    t.spawn(by, "one", Some("go"));
    t.spawn(by, "two", Some("go"));
    t.spawn(PERSON, "other", Some("go"));
    let turns = t.claim(9);
    assert_eq!(names(&turns), "i2.m1 i4.m3");
    t.end(turns[0].lease, Outcome::Succeeded);
    assert_eq!(names(&t.claim(9)), "i3.m2");
}

pub(super) fn who_waits_for_those_below_lends_its_place(t: &mut Trial) {
    t.policy(PolicyChange::MaxInstances(1));
    let root = t.spawn(PERSON, "root", Some("lead"));
    let one = |t: &mut Trial, borrowed| {
        t.claim_as_many(ClaimRequest {
            limit: u32::from(borrowed == 0),
            borrowed: u32::from(borrowed > 1),
            caps: vec![cap("rehearsal", 1)],
            ..claim_by("e1", 1)
        })
    };
    let lead = one(t, 0);
    assert_eq!(names(&lead), "i1.m1");
    assert_eq!(names(&one(t, 1)), "", "nothing is lent yet");
    let child = t.spawn(Party::Instance(root), "child", Some("work"));
    let work = one(t, 1);
    assert_eq!(names(&work), "i2.m2", "the place of the one that waits");
    t.spawn(Party::Instance(root), "second", Some("work"));
    assert_eq!(names(&one(t, 2)), "", "lent once only");
    t.spawn(Party::Instance(child), "deep", Some("work"));
    let deep = one(t, 2);
    assert_eq!(names(&deep), "i4.m4");
    t.end(deep[0].lease, Outcome::Succeeded);
    t.end(work[0].lease, Outcome::Succeeded);
    assert_eq!(names(&one(t, 1)), "i3.m3");
}

pub(super) fn a_message_may_come_after_others(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("draft"));
    let b = t.spawn(PERSON, "b", None);
    let mut review = send_of(PERSON, Party::Instance(b), MessageKind::Request, "review");
    review.after = vec![MessageId(1)];
    let review = t.send_it(review);
    let behind = t.say(b, "behind it");
    let turn = t.claim(9);
    assert_eq!(names(&turn), "i1.m1", "its mailbox keeps its order");
    t.end(turn[0].lease, Outcome::Crashed);
    let turn = t.claim_one("i2.m2");
    assert_eq!(t.message(review).after, [MessageId(1)]);
    t.end(turn.lease, Outcome::Succeeded);
    let turn = t.claim_one("i2.m3");
    t.end(turn.lease, Outcome::Succeeded);
    assert!(t.message(behind).state.is_over());
    // What it comes after may also be dropped with its instance.
    t.policy(PolicyChange::MaxInstances(0));
    let first = t.say(a, "never");
    let mut later = send_of(PERSON, Party::Instance(b), MessageKind::Request, "later");
    later.after = vec![first];
    t.send_it(later);
    t.terminate(PERSON, a);
    t.policy(PolicyChange::MaxInstances(9));
    assert_eq!(names(&t.claim(9)), "i2.m5");
    let mut unknown = send_of(PERSON, Party::Instance(b), MessageKind::Request, "x");
    unknown.after = vec![MessageId(99)];
    let refusal = t.crew_refuses(crew::Command::Send(Box::new(unknown)));
    assert_eq!(refusal, Refusal::NoSuchMessage(MessageId(99)));
}

pub(super) fn a_spawn_waits_for_its_approval(t: &mut Trial) {
    t.policy(PolicyChange::RequireApproval(true));
    let a = t.spawn(PERSON, "a", Some("go"));
    let question = t.last_question();
    assert_eq!(t.instance(a).state, InstanceState::Waiting { question });
    assert!(t.claim(9).is_empty());
    t.answer(question, "approve", Resolution::Proceed);
    let turn = t.claim_one("i1.m1");
    t.end(turn.lease, Outcome::Succeeded);
    t.say(a, "again");
    let turn = t.claim_one("i1.m2");
    t.end(turn.lease, Outcome::Succeeded);
    let b = t.spawn(PERSON, "b", Some("go"));
    let child = t.spawn(Party::Instance(b), "child", None);
    let question = t.instance(b).state;
    let InstanceState::Waiting { question } = question else {
        panic!("{question:?}")
    };
    t.answer(question, "deny", Resolution::GiveUp);
    assert_eq!(t.state(b), "ended (denied)");
    assert_eq!(t.state(child), "ended (with_parent)");
    // Interrupting what waits for its approval is no denial.
    let c = t.spawn(PERSON, "c", Some("go"));
    t.crew(crew::Command::Interrupt {
        by: PERSON,
        instance: c,
        clear: false,
    });
    assert_eq!((t.state(c), t.open_questions().len()), ("idle".to_owned(), 0));
    t.say(c, "go after all");
    assert_eq!(t.open_questions().len(), 1, "it is asked about again");
}

pub(super) fn a_question_is_what_its_instance_waits_for(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("go"));
    let turn = t.claim_one("i1.m1");
    let first = t.ask_running(turn.lease, QuestionKind::Permission, "one");
    let second = t.ask_running(turn.lease, QuestionKind::Permission, "two");
    assert_eq!(t.instance(a).state, InstanceState::Waiting { question: first });
    t.answer(first, "approve", Resolution::Deliver);
    assert_eq!(t.instance(a).state, InstanceState::Waiting { question: second });
    t.end(turn.lease, Outcome::Succeeded);
    assert_eq!(t.state(a), "idle");
}

pub(super) fn the_idle_are_put_aside_and_woken(t: &mut Trial) {
    t.policy(PolicyChange::SuspendAfter(Some(1_000)));
    t.policy(PolicyChange::AutoTerminateAfter(Some(3_000)));
    let a = t.spawn(PERSON, "a", None);
    let reply = t.apply(Command::Claim(claim_by("e1", 9)));
    let Reply::Claimed { expire_at, now, .. } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(expire_at.map(|at| at.0), Some(now.0 + 1_000));
    t.advance_ms(999);
    t.claim(9);
    assert_eq!(t.state(a), "idle");
    t.advance_ms(1);
    t.claim(9);
    assert_eq!(t.state(a), "suspended");
    t.say(a, "wake");
    let turn = t.claim_one("i1.m1");
    assert_eq!(t.state(a), "busy");
    t.advance_ms(9_999);
    t.claim(9);
    assert_eq!(t.state(a), "busy", "who works is not idle");
    t.end(turn.lease, Outcome::Succeeded);
    t.crew(crew::Command::Suspend {
        by: PERSON,
        instance: a,
    });
    t.crew(crew::Command::Resume {
        by: PERSON,
        instance: a,
    });
    let refusal = t.crew_refuses(crew::Command::Resume {
        by: PERSON,
        instance: a,
    });
    assert!(matches!(refusal, Refusal::Illegal(_)), "{refusal}");
    let child = t.spawn(Party::Instance(a), "child", None);
    t.advance_ms(1_000);
    t.claim(9);
    t.advance_ms(2_500);
    t.claim(9);
    assert_eq!(t.state(child), "ended (expired)");
    t.advance_ms(3_000);
    t.claim(9);
    assert_eq!(t.state(a), "ended (expired)");
}

pub(super) fn the_policy_bounds_what_is_spawned(t: &mut Trial) {
    t.policy(PolicyChange::DepthMax(1));
    t.policy(PolicyChange::AllowedModels(vec!["haiku".into(), "sonnet-4".into()]));
    t.policy(PolicyChange::PreferredModels(vec![
        "opus".into(),
        "claude-sonnet-4-5".into(),
    ]));
    let with = |model: &str| InstanceSpec {
        model: Some(model.to_owned()),
        ..spec("m")
    };
    let refused = t.refused(spawn_of(PERSON, with("claude-opus-4"), None));
    assert!(
        matches!(refused, Refused::Crew(Refusal::ModelNotAllowed { .. })),
        "{refused}"
    );
    t.apply(spawn_of(PERSON, with("claude-haiku-4-5"), None));
    let a = t.spawn(PERSON, "a", None);
    assert_eq!(
        t.instance(a).spec.model.as_deref(),
        Some("claude-sonnet-4-5"),
        "preferred and allowed"
    );
    let narrow = Spawn {
        by: Party::Instance(a),
        parent: None,
        spec: spec("child"),
        rights: Rights {
            spawn: false,
            ..Rights::default()
        },
        prompt: None,
        key: None,
    };
    let reply = t.crew(crew::Command::Spawn(Box::new(narrow)));
    let crew::Reply::Spawned { instance: child, .. } = reply else {
        panic!("{reply:?}")
    };
    let refused = t.refused(spawn_of(Party::Instance(child), spec("deep"), None));
    assert!(
        matches!(refused, Refused::Crew(Refusal::TooDeep { depth: 2, max: 1 })),
        "{refused}"
    );
    t.policy(PolicyChange::DepthMax(9));
    let refused = t.refused(spawn_of(Party::Instance(child), spec("deep"), None));
    assert!(
        matches!(refused, Refused::Crew(Refusal::NotAllowed { .. })),
        "{refused}"
    );
    t.policy(PolicyChange::LiveMax(3));
    let refused = t.refused(spawn_of(PERSON, spec("x"), None));
    assert!(
        matches!(refused, Refused::Crew(Refusal::TooMany { max: 3 })),
        "{refused}"
    );
    let refused = t.refused(spawn_of(PERSON, spec("i7"), None));
    assert!(matches!(refused, Refused::Crew(Refusal::Illegal(_))), "{refused}");
    let policy = t.reader().crew_policy().expect("read");
    assert_eq!((policy.depth_max, policy.live_max), (9, 3));
    t.reopen();
    assert_eq!(t.reader().crew_policy().expect("read"), policy, "it is durable");
}

pub(super) fn everything_can_be_stopped(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("go"));
    let b = t.spawn(Party::Instance(a), "b", Some("go"));
    let other = t.spawn(PERSON, "other", Some("go"));
    let turns = t.claim(9);
    let by = Party::Instance(a);
    let reply = t.crew(crew::Command::Stop {
        by,
        what: StopWhat::Turns,
    });
    let messages = vec![MessageId(2)];
    assert_eq!(
        reply,
        crew::Reply::Stopped { messages },
        "an instance stops what is below it"
    );
    t.crew(crew::Command::Stop {
        by: PERSON,
        what: StopWhat::Turns,
    });
    for turn in &turns {
        t.end(turn.lease, Outcome::Cancelled);
    }
    assert_eq!([t.state(a), t.state(b), t.state(other)], ["idle", "idle", "idle"]);
    let reply = t.crew(crew::Command::Stop {
        by: PERSON,
        what: StopWhat::Orchestration,
    });
    let instances = vec![b, a, other];
    assert_eq!(reply, crew::Reply::Ended { instances });
    assert_eq!(t.state(b), "ended (stopped)");
    let refused = t.refused(spawn_of(PERSON, spec("late"), None));
    assert_eq!(refused, Refused::Crew(Refusal::OrchestrationOff));
    t.policy(PolicyChange::Orchestration(true));
    t.spawn(PERSON, "again", None);
}

pub(super) fn work_can_be_given_to_several(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", None);
    let seat = |who: Who, vendor: &str| NewSeat {
        who,
        vendor: vendor.to_owned(),
    };
    let coordinate = |mode| {
        let new = Who::New(Box::new(spec("helper")));
        crew::Command::Coordinate(Box::new(Coordinate {
            by: PERSON,
            mode,
            seats: vec![seat(Who::There(a), "x"), seat(new, "y")],
            text: "do it".to_owned(),
        }))
    };
    let reply = t.crew(coordinate(Mode::Sequential));
    let crew::Reply::Coordinated {
        coordination,
        instances,
        messages,
    } = reply
    else {
        panic!("{reply:?}")
    };
    let turn = t.claim(9);
    assert_eq!(names(&turn), "i1.m1", "one after the other");
    t.end(turn[0].lease, Outcome::Succeeded);
    let turn = t.claim_one("i2.m2");
    assert_eq!(t.message(messages[1]).after, [messages[0]]);
    t.end(turn.lease, Outcome::Succeeded);
    assert_eq!(
        t.state(instances[1]),
        "ended (finished)",
        "who was made for it ends with it"
    );
    let record = t
        .reader()
        .coordination(coordination)
        .expect("read")
        .expect("it is there");
    assert_eq!(
        record.seats.iter().map(|seat| seat.message).collect::<Vec<_>>(),
        messages
    );
    t.crew(coordinate(Mode::Consensus { quorum: 2 }));
    let turns = t.claim(9);
    assert_eq!(names(&turns), "i1.m3 i3.m4", "blind, at the same time");
    let refusal = t.crew_refuses(coordinate(Mode::Consensus { quorum: 3 }));
    assert!(matches!(refusal, Refusal::Illegal(_)), "{refusal}");
    let lines = t.reader().audit(0, None, 99).expect("read");
    assert_eq!(lines.iter().filter(|line| line.verb == "coordinate").count(), 2);
    let of_helper = t.reader().audit(0, Some(instances[1]), 99).expect("read");
    assert_eq!(
        of_helper.iter().map(|line| line.verb.as_str()).collect::<Vec<_>>(),
        ["spawn", "end"]
    );
    // What is used beside the crew is told of whoever used it.
    let detail = format!("db/query: answered in 7 ms{}", "ü".repeat(1_000));
    let by = Party::Instance(instances[0]);
    assert_eq!(t.crew(crew::Command::Used { by, detail }), crew::Reply::Done);
    let lines = t.reader().audit(0, Some(instances[0]), 99).expect("read");
    let last = lines.last().expect("a line");
    assert_eq!((last.by, last.verb.as_str()), (by, "use_tool"));
    assert!(
        last.detail.starts_with("db/query: answered") && last.detail.len() <= 400,
        "{last:?}"
    );
}

pub(super) fn a_turn_is_not_retried(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("go"));
    let run = t.instance(a).run;
    let turn = t.claim_one("i1.m1");
    t.end(turn.lease, Outcome::Crashed);
    t.illegal(Command::RetryTask { task: turn.lease.task });
    t.apply(Command::RetryRun { run });
    assert!(t.claim(9).is_empty());
    assert_eq!(t.state(a), "idle");
}

pub(super) fn a_crew_survives_a_crash_between_any_two_commands(t: &mut Trial) {
    let a = t.spawn(PERSON, "a", Some("one"));
    t.reopen();
    let b = t.spawn(Party::Instance(a), "b", Some("two"));
    t.reopen();
    let turns = t.claim(9);
    assert_eq!(names(&turns), "i2.m2 i1.m1");
    t.reopen();
    t.say(b, "three");
    t.reopen();
    for turn in turns {
        t.end(turn.lease, Outcome::Succeeded);
        t.reopen();
    }
    let turn = t.claim_one("i2.m3");
    t.reopen();
    assert_eq!(t.terminate(PERSON, a), [b, a]);
    t.reopen();
    t.end(turn.lease, Outcome::Cancelled);
    assert_eq!(t.instance(b).state, InstanceState::Ended { end: End::WithParent });
}

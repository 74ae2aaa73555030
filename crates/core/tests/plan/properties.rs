//! Properties of the graph: what has no circle is accepted, what has one is refused with a path that is really one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use wheelhouse_core::plan::show::layers;

use crate::support::Project;

/// Edges of a graph without circles over tasks in a random order: (task, need).
fn dag() -> impl Strategy<Value = (usize, Vec<(usize, usize)>, Vec<usize>)> {
    (2_usize..24).prop_flat_map(|count| {
        let pair = (0..count, 0..count).prop_filter_map("an edge", |(a, b)| match a.cmp(&b) {
            std::cmp::Ordering::Greater => Some((a, b)),
            std::cmp::Ordering::Less => Some((b, a)),
            std::cmp::Ordering::Equal => None,
        });
        let order = Just((0..count).collect::<Vec<usize>>()).prop_shuffle();
        (Just(count), prop::collection::vec(pair, 0..60), order)
    })
}

fn plan(order: &[usize], edges: &[(usize, usize)], reads: &[(usize, usize)]) -> String {
    let mut text = "tasks:\n".to_owned();
    for task in order {
        let needs: Vec<String> = edges
            .iter()
            .filter(|(a, _)| a == task)
            .map(|(_, b)| format!("t{b}"))
            .collect();
        let named: Vec<String> = reads
            .iter()
            .filter(|(a, _)| a == task)
            .map(|(_, b)| format!("{{{{ tasks.t{b} }}}}"))
            .collect();
        text.push_str(&format!(
            "- {{id: t{task}, needs: [{}], prompt: 'x {}'}}\n",
            needs.join(", "),
            named.join(" ")
        ));
    }
    text
}

/// Everything a task needs, by way of others too.
fn closure(count: usize, edges: &[(usize, usize)]) -> BTreeSet<(usize, usize)> {
    let mut known: BTreeSet<(usize, usize)> = edges.iter().copied().collect();
    for middle in 0..count {
        for from in 0..count {
            for to in 0..count {
                if known.contains(&(from, middle)) && known.contains(&(middle, to)) {
                    known.insert((from, to));
                }
            }
        }
    }
    known
}

proptest! {
    #[test]
    fn what_has_no_circle_is_accepted_in_order((count, edges, order) in dag()) {
        let checked = Project::default().read("p.yaml", &plan(&order, &edges, &[])).map_err(|p| TestCaseError::fail(p.to_string()))?;
        prop_assert_eq!(checked.tasks.len(), count);
        let mut layer_of: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, layer) in layers(&checked.tasks).iter().enumerate() {
            for place in layer {
                layer_of.insert(checked.tasks[*place].key.as_str(), number);
            }
        }
        prop_assert_eq!(layer_of.len(), count);
        for task in &checked.tasks {
            let deepest = task.needs.iter().map(|need| layer_of[need.as_str()] + 1).max().unwrap_or(0);
            prop_assert_eq!(layer_of[task.key.as_str()], deepest);
            let wanted: BTreeSet<String> = edges.iter().filter(|(a, _)| format!("t{a}") == task.key.as_str()).map(|(_, b)| format!("t{b}")).collect();
            let found: BTreeSet<String> = task.needs.iter().map(ToString::to_string).collect();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn an_edge_that_closes_a_circle_is_found((count, mut edges, order) in dag(), pick in any::<prop::sample::Index>()) {
        let reachable: Vec<(usize, usize)> = closure(count, &edges).into_iter().collect();
        prop_assume!(!reachable.is_empty());
        let (from, to) = reachable[pick.index(reachable.len())];
        edges.push((to, from));
        let problems = Project::default().read("p.yaml", &plan(&order, &edges, &[])).expect_err("there is a circle");
        prop_assert_eq!(problems.0.len(), 1, "{}", problems);
        let problem = &problems.0[0];
        prop_assert_eq!(problem.code, "cycle");
        let path: Vec<usize> = problem.found.split(" -> ").map(|name| name[1..].parse().expect("a task")).collect();
        prop_assert!(path.len() >= 3 && path.first() == path.last(), "{}", problem);
        for step in path.windows(2) {
            prop_assert!(edges.contains(&(step[0], step[1])), "{} is no edge", problem);
        }
        let inner: BTreeSet<usize> = path[1..].iter().copied().collect();
        prop_assert_eq!(inner.len(), path.len() - 1);
    }

    #[test]
    fn a_text_may_name_exactly_what_its_task_needs((count, edges, order) in dag(), reads in prop::collection::vec((0_usize..24, 0_usize..24), 0..12)) {
        let reads: Vec<(usize, usize)> = reads.into_iter().filter(|(a, b)| a != b && *a < count && *b < count).collect();
        let needed = closure(count, &edges);
        let wrong = reads.iter().filter(|read| !needed.contains(read)).count();
        let read = Project::default().read("p.yaml", &plan(&order, &edges, &reads));
        let found = read.map_or_else(|problems| problems.0.iter().filter(|p| p.code == "not-needed").count(), |_| 0);
        prop_assert_eq!(found, wrong);
    }
}

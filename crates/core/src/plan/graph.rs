//! The edges of a plan: circles, and what a task needs by way of others.
//!
//! Works on numbers (places of tasks in the plan), never recurses, and stays near-linear: a hostile plan may hold
//! [`TASKS_MAX`](super::TASKS_MAX) tasks and [`EDGES_MAX`] edges.

use std::collections::{HashMap, VecDeque};

/// How many edges a plan may have.
pub const EDGES_MAX: usize = 1_000_000;

/// For each task the tasks it needs.
pub(crate) struct Graph {
    pub(crate) needs: Vec<Vec<usize>>,
}

impl Graph {
    /// Strongly connected groups, each after all groups it needs. Tarjan's algorithm with its stack on the heap.
    pub(crate) fn groups(&self) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        let count = self.needs.len();
        let (mut order, mut low, mut on_stack) = (vec![UNSEEN; count], vec![0; count], vec![false; count]);
        let (mut stack, mut groups, mut next) = (Vec::new(), Vec::new(), 0);
        let mut walk: Vec<(usize, usize)> = Vec::new();
        for start in 0..count {
            if order[start] != UNSEEN {
                continue;
            }
            walk.push((start, 0));
            while let Some((task, edge)) = walk.pop() {
                if edge == 0 {
                    order[task] = next;
                    low[task] = next;
                    next += 1;
                    stack.push(task);
                    on_stack[task] = true;
                }
                if let Some(&need) = self.needs[task].get(edge) {
                    walk.push((task, edge + 1));
                    if order[need] == UNSEEN {
                        walk.push((need, 0));
                    } else if on_stack[need] {
                        low[task] = low[task].min(order[need]);
                    }
                    continue;
                }
                if let Some((parent, _)) = walk.last() {
                    low[*parent] = low[*parent].min(low[task]);
                }
                if low[task] == order[task] {
                    let start = stack.iter().rposition(|one| *one == task).unwrap_or(0);
                    let group = stack.split_off(start);
                    group.iter().for_each(|one| on_stack[*one] = false);
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// A shortest circle through the first task of a group: `a, b, …` where each needs the next and the last needs `a`.
    pub(crate) fn circle(&self, group: &[usize]) -> Vec<usize> {
        let Some(&start) = group.iter().min() else {
            return Vec::new();
        };
        let inside: HashMap<usize, ()> = group.iter().map(|task| (*task, ())).collect();
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(task) = queue.pop_front() {
            for &need in &self.needs[task] {
                if need == start {
                    let mut path = vec![task];
                    while let Some(&before) = path
                        .last()
                        .filter(|last| **last != start)
                        .and_then(|last| came_from.get(last))
                    {
                        path.push(before);
                    }
                    path.reverse();
                    return path;
                }
                if inside.contains_key(&need) && !came_from.contains_key(&need) {
                    came_from.insert(need, task);
                    queue.push_back(need);
                }
            }
        }
        Vec::new()
    }

    /// For each (task, wanted) whether the task needs the wanted one by way of others. Answers come in the order of
    /// the questions. Bit-parallel: a pass over the graph answers for [`LANES`] wanted tasks at once.
    pub(crate) fn reaches(&self, groups: &[Vec<usize>], questions: &[(usize, usize)]) -> Vec<bool> {
        let mut answers = vec![false; questions.len()];
        let mut by_wanted: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, (_, wanted)) in questions.iter().enumerate() {
            by_wanted.entry(*wanted).or_default().push(index);
        }
        let mut wanted: Vec<usize> = by_wanted.keys().copied().collect();
        wanted.sort_unstable();
        for chunk in wanted.chunks(LANES) {
            let sets = self.pass(groups, chunk);
            for (lane, one) in chunk.iter().enumerate() {
                for &index in by_wanted.get(one).into_iter().flatten() {
                    let (task, _) = questions[index];
                    answers[index] = sets[task].has(lane);
                }
            }
        }
        answers
    }

    fn pass(&self, groups: &[Vec<usize>], wanted: &[usize]) -> Vec<Lanes> {
        let mut own = vec![Lanes::default(); self.needs.len()];
        for (lane, task) in wanted.iter().enumerate() {
            own[*task].set(lane);
        }
        let mut sets = vec![Lanes::default(); self.needs.len()];
        for group in groups {
            let mut all = Lanes::default();
            for &task in group {
                for &need in &self.needs[task] {
                    all.add(&own[need]);
                    all.add(&sets[need]);
                }
            }
            for &task in group {
                sets[task] = all;
            }
        }
        sets
    }
}

/// How many wanted tasks one pass answers for.
const LANES: usize = 256;

#[derive(Clone, Copy, Default)]
struct Lanes([u64; LANES / 64]);

impl Lanes {
    fn set(&mut self, lane: usize) {
        self.0[lane / 64] |= 1 << (lane % 64);
    }

    fn has(&self, lane: usize) -> bool {
        self.0[lane / 64] & 1 << (lane % 64) != 0
    }

    fn add(&mut self, other: &Lanes) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(needs: &[&[usize]]) -> Graph {
        Graph {
            needs: needs.iter().map(|one| one.to_vec()).collect(),
        }
    }

    #[test]
    fn circles_are_found_once_each() {
        let graph = graph(&[&[1], &[2], &[0], &[0, 4], &[3], &[]]);
        let groups = graph.groups();
        let circles: Vec<Vec<usize>> = groups.iter().filter(|g| g.len() > 1).map(|g| graph.circle(g)).collect();
        assert_eq!(circles, [vec![0, 1, 2], vec![3, 4]]);
    }

    #[test]
    fn a_long_chain_does_not_overflow() {
        let needs = (0..200_000_usize)
            .map(|n| if n == 0 { vec![] } else { vec![n - 1] })
            .collect();
        let graph = Graph { needs };
        let groups = graph.groups();
        assert_eq!(groups.len(), 200_000);
        assert_eq!(graph.reaches(&groups, &[(199_999, 0), (0, 199_999)]), [true, false]);
    }

    #[test]
    fn needs_by_way_of_others_are_seen() {
        let graph = graph(&[&[], &[0], &[1], &[]]);
        let groups = graph.groups();
        let questions = [(2, 0), (2, 1), (3, 0), (0, 2), (2, 2)];
        assert_eq!(graph.reaches(&groups, &questions), [true, true, false, false, false]);
    }
}

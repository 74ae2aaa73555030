//! What a conversation costs, with the prompt cache and the price cliffs of its model: the simulator by which a layer
//! knows whether it saves money or only tokens.
//!
//! A call is a list of segments. The longest prefix of segments that an earlier call left in the cache, and that has not
//! run out, is read at the cache's price; what follows up to the last breakpoint is written; the tail is plain input.
//! The rates, cliffs included, are those of [`wheelhouse_core::price`]; the rules of caches and their sources are in
//! `docs/economy.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wheelhouse_core::price::{Price, Rates, Requests};
use wheelhouse_core::usage::{Usage, UsageSource};

/// How a provider's cache behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cache {
    /// Whether there is one.
    pub on: bool,
    /// How long an entry lives after its last use, in seconds.
    pub ttl_s: u64,
    /// A prefix shorter than this is not kept, in tokens.
    pub min_tokens: u64,
    /// How many segments a lookup goes back from the last breakpoint; older entries are not found.
    pub lookback: usize,
}

/// How long most providers keep a prefix that nobody reads, in seconds.
pub const TTL_S: u64 = 300;

impl Default for Cache {
    /// Five minutes, 1,024 tokens, twenty blocks: what most of the providers do.
    fn default() -> Cache {
        Cache {
            on: true,
            ttl_s: TTL_S,
            min_tokens: 1_024,
            lookback: 20,
        }
    }
}

/// One part of a prompt. Equal identities are equal texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// A hash of its text.
    pub id: u64,
    /// How many tokens it has.
    pub tokens: u64,
}

/// What one call consumed and cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Bill {
    /// Calls.
    pub calls: u64,
    /// Input that no cache served.
    pub input: u64,
    /// Read from the cache.
    pub read: u64,
    /// Written to the cache.
    pub write: u64,
    /// Output.
    pub output: u64,
    /// Nano-dollars.
    pub cost_nano: u64,
}

impl Bill {
    /// All prompt tokens.
    pub fn prompt(&self) -> u64 {
        self.input + self.read + self.write
    }

    /// The same as a usage.
    pub fn usage(&self) -> Usage {
        Usage {
            input: self.input,
            cache_read: self.read,
            cache_write: self.write,
            output: self.output,
            reasoning: 0,
            source: UsageSource::Estimated,
        }
    }

    /// Two bills as one.
    #[must_use]
    pub fn plus(self, other: Bill) -> Bill {
        Bill {
            calls: self.calls + other.calls,
            input: self.input + other.input,
            read: self.read + other.read,
            write: self.write + other.write,
            output: self.output + other.output,
            cost_nano: self.cost_nano.saturating_add(other.cost_nano),
        }
    }
}

/// A model's cache over the time of one or more conversations.
#[derive(Clone, Debug)]
pub struct Simulator {
    price: Price,
    cache: Cache,
    /// Prefixes by their hash, with the moment until which they live.
    entries: BTreeMap<u64, u64>,
}

impl Simulator {
    /// A simulator with an empty cache.
    pub fn new(price: Price, cache: Cache) -> Simulator {
        Simulator {
            price,
            cache,
            entries: BTreeMap::new(),
        }
    }

    /// Bills one call at that moment (seconds) and remembers its prefix. The breakpoint is at the end of the prompt, as
    /// it is in a conversation that goes on.
    pub fn call(&mut self, now_s: u64, prompt: &[Segment], output: u64) -> Bill {
        let total: u64 = prompt.iter().map(|segment| segment.tokens).sum();
        let mut prefixes = Vec::with_capacity(prompt.len());
        let (mut hash, mut tokens) = (0xcbf2_9ce4_8422_2325_u64, 0);
        for segment in prompt {
            hash = mix(hash, segment.id);
            tokens += segment.tokens;
            prefixes.push((hash, tokens));
        }
        let (mut read, mut write) = (0, 0);
        if self.cache.on && total >= self.cache.min_tokens {
            let alive = |hash: &u64| self.entries.get(hash).is_some_and(|until| *until >= now_s);
            let found = prefixes
                .iter()
                .rev()
                .take(self.cache.lookback)
                .find(|(hash, _)| alive(hash));
            // An entry deeper than the lookback is found by the breakpoint that the provider keeps on the system part.
            let found = found.or_else(|| prefixes.first().filter(|(hash, _)| alive(hash)));
            read = found.map_or(0, |(_, tokens)| *tokens);
            write = total - read;
            for (hash, tokens) in &prefixes {
                if *tokens >= self.cache.min_tokens {
                    self.entries.insert(*hash, now_s + self.cache.ttl_s);
                }
            }
        }
        let mut bill = Bill {
            calls: 1,
            input: total - read - write,
            read,
            write,
            output,
            cost_nano: 0,
        };
        bill.cost_nano = self.price.cost_nano(&bill.usage(), Requests::One);
        bill
    }
}

fn mix(hash: u64, id: u64) -> u64 {
    let mixed = (hash ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// How many further turns a change of a cached prefix needs before it pays: `behind` tokens lie after the place of the
/// change, `removed` of them go. None: it never pays, because nothing is removed or reading is free.
pub fn break_even_turns(rates: &Rates, behind: u64, removed: u64) -> Option<f64> {
    let (read, write) = cached(rates);
    if removed == 0 || read == 0 {
        return None;
    }
    let dearer = write.saturating_sub(read) as f64 / read as f64;
    Some(dearer * behind.saturating_sub(removed) as f64 / removed as f64)
}

/// Whether giving each of `readers` its own share (in hundredths of the text) costs less than giving all of them the
/// same text behind the same prefix, which is written once and read by the others. For readers that cannot share a cache
/// it always does.
pub fn slicing_pays(rates: &Rates, readers: u64, share: u64, shares_cache: bool) -> bool {
    if !shares_cache {
        return share < 100;
    }
    let (read, write) = cached(rates);
    let shared = write * 100 + readers.saturating_sub(1) * read * 100;
    readers * share * write < shared
}

/// What reading from and writing to the cache costs.
fn cached(rates: &Rates) -> (u64, u64) {
    (
        rates.cache_read.unwrap_or(rates.input),
        rates.cache_write.unwrap_or(rates.input),
    )
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::price::Cliff;

    use super::*;

    const D: u64 = 1_000_000_000;
    const SONNET: Rates = Rates {
        input: 2 * D,
        output: 10 * D,
        cache_read: Some(D / 10),
        cache_write: Some(5 * D / 2),
        cache_write_long: None,
    };

    fn price(rates: Rates, cliffs: Vec<Cliff>) -> Price {
        Price {
            model: "m".to_owned(),
            provider: "p".to_owned(),
            from: None,
            to: None,
            rates,
            cliffs,
            window: None,
            retires: None,
            source: "test".to_owned(),
        }
    }

    fn segments(tokens: &[u64]) -> Vec<Segment> {
        tokens
            .iter()
            .enumerate()
            .map(|(id, tokens)| Segment {
                id: id as u64,
                tokens: *tokens,
            })
            .collect()
    }

    #[test]
    fn a_conversation_that_grows_reads_what_it_wrote() {
        let mut simulator = Simulator::new(price(SONNET, Vec::new()), Cache::default());
        let first = simulator.call(0, &segments(&[8_000, 500]), 100);
        assert_eq!((first.read, first.write), (0, 8_500));
        let second = simulator.call(60, &segments(&[8_000, 500, 100, 900]), 100);
        assert_eq!((second.read, second.write, second.input), (8_500, 1_000, 0));
        // 8,500 at 0.10, 1,000 at 2.50, 100 out at 10 dollars a million.
        assert_eq!(second.cost_nano, 850_000 + 2_500_000 + 1_000_000);
        // It ran out; the whole is written anew.
        assert_eq!(simulator.call(1_000, &segments(&[8_000, 500, 100, 900, 5]), 0).read, 0);
    }

    #[test]
    fn a_changed_prefix_is_written_anew() {
        let mut simulator = Simulator::new(price(SONNET, Vec::new()), Cache::default());
        simulator.call(0, &segments(&[2_000, 500, 500]), 0);
        let changed = [
            Segment { id: 0, tokens: 2_000 },
            Segment { id: 99, tokens: 10 },
            Segment { id: 2, tokens: 500 },
        ];
        let bill = simulator.call(1, &changed, 0);
        assert_eq!((bill.read, bill.write), (2_000, 510));
    }

    #[test]
    fn short_prompts_are_not_kept() {
        let mut simulator = Simulator::new(price(SONNET, Vec::new()), Cache::default());
        simulator.call(0, &segments(&[500]), 0);
        assert_eq!(
            simulator.call(1, &segments(&[500]), 0),
            Bill {
                calls: 1,
                input: 500,
                cost_nano: 1_000_000,
                ..Bill::default()
            }
        );
    }

    #[test]
    fn over_the_cliff_the_whole_request_is_dearer() {
        let times = |factor: u64| Rates {
            input: D / 10 * factor,
            output: D / 2 * factor,
            ..Rates::default()
        };
        let cliff = Cliff {
            above_tokens: 100_000,
            rates: times(5),
        };
        let haiku = price(times(1), vec![cliff]);
        let mut plain = Simulator::new(
            haiku,
            Cache {
                on: false,
                ..Cache::default()
            },
        );
        assert_eq!(plain.call(0, &segments(&[100_000]), 0).cost_nano, 10_000_000);
        assert_eq!(
            plain.call(0, &segments(&[100_001]), 1_000).cost_nano,
            50_000_500 + 2_500_000
        );
    }

    #[test]
    fn the_break_even_is_that_of_the_formula() {
        let half = break_even_turns(&SONNET, 10_000, 5_000).unwrap();
        assert!((half - 24.0).abs() < 1e-9, "{half}");
        let most = break_even_turns(&SONNET, 10_000, 9_000).unwrap();
        assert!((most - 24.0 / 9.0).abs() < 1e-9);
        assert_eq!(break_even_turns(&SONNET, 10_000, 0), None);
    }

    #[test]
    fn slicing_loses_to_a_shared_prefix_above_a_share() {
        // (1.25 + 4 x 0.05) / (5 x 1.25) = 0.232
        assert!(slicing_pays(&SONNET, 5, 23, true) && !slicing_pays(&SONNET, 5, 24, true));
        assert!(slicing_pays(&SONNET, 5, 90, false));
    }
}

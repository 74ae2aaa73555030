//! What it takes to choose a model, to ask it, to fall back and to account for it: `cargo bench -p wheelhouse-cli --bench paid`.
//!
//! The model is a program on loopback that answers at once, so what is timed is everything but the model. Other people's
//! gateways are started in the same run where `WHEELHOUSE_BENCH_LITELLM` (the program `litellm`) and
//! `WHEELHOUSE_BENCH_PORTKEY` (`build/start-server.js` of `@portkey-ai/gateway`, for `node`) name them: the same requests, by
//! the same client, through them to the same model. The floor of all is that client without anybody in between.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

mod calls;
mod fallback;
mod model;
mod peers;
mod report;
mod routing;

use std::time::Duration;

fn main() {
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap().trim().to_owned();
    // `cargo bench … -- routing report` plays those alone.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 4] = [
        ("routing", routing::measure),
        ("calls", calls::measure),
        ("fallback", fallback::measure),
        ("report", report::measure),
    ];
    for (name, measure) in parts {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            println!("== {name}, load {}", load());
            measure();
        }
    }
    println!("load at the end: {}", load());
}

/// The value below which so many percent are, in milliseconds.
fn percentile_ms(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let place = (times.len() * percent / 100).min(times.len() - 1);
    times[place].as_secs_f64() * 1e3
}

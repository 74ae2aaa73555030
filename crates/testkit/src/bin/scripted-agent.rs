//! For tests alone, never shipped: an agent that does what its arguments say. See `wheelhouse_testkit::script`.

fn main() -> std::process::ExitCode {
    wheelhouse_testkit::script::main()
}

//! For tests alone, never shipped: an MCP server that does what its file says. See `wheelhouse_testkit::tool_server`.

fn main() -> std::process::ExitCode {
    wheelhouse_testkit::tool_server::main()
}

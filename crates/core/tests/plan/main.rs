//! Plans from outside: what is read, what is refused and in which words, and that nothing hostile gets through.

mod support;

mod accepted;

//! Plans: what people write, checked and turned into specs.

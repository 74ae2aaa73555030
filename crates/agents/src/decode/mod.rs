//! Stream decoders: lines of a vendor in, events of ours out. Pure.

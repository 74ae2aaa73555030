//! A fake of the model APIs on loopback.

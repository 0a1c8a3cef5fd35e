"""The shipped profiles (TOML), read by `load_profile`."""

"""Where it runs: resources, storage, Ray itself. Imports schemas."""

"""Who does the heavy lifting: one file per model role; plain classes that load in the constructor and know no Ray."""

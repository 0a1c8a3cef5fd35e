"""What a row is: tables, samples, requests, configuration, errors. Imports nothing of ours, no ray, no torch."""

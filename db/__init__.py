"""The truth: states, models, transitions, cartridges, permits, catalogue, migrations."""

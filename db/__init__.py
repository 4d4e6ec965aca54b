"""The source of truth: states, models, transitions, cartridges, permits, catalogue, migrations."""

"""The built-in profiles, one YAML file each; read by `lib.config.load_profile`."""

"""The project's settings, `project.yaml`: sites, brands, systems; and their copy in the warehouse."""

"""Cost model of in-memory computing chips of one template: macros in tiles in groups, each layer on the whole chip."""

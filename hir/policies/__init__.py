"""Language models as methods and samplers see them."""

"""What tests of operators and kernels are made of: one-operator models, and comparing graphs."""

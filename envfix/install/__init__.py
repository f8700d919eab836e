"""Change an environment to what a lock says, and make its CUDA libraries findable."""

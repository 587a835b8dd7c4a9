"""Deep reinforcement learning on Gymnasium environments: one file an algorithm, and beside them what several share."""

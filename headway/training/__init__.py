"""Code inside ranks, and in the processes that start them. Only this part imports torch."""
